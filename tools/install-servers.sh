#!/bin/sh
# Installs the servers that development and tests need: PostgreSQL with
# pg_stat_statements, Redis and, with --with-cc, what tests need beside them:
# PgBouncer, the race detector's compiler, and the curl that the README's commands
# call.
# Silent when everything is there. On Debian and Ubuntu it uses apt-get, creates
# no database cluster and starts no service; elsewhere it says what to install.
set -eu

usage() {
	echo "usage: $0 [--with-cc]" >&2
	exit 2
}

with_cc=
case "$#:${1-}" in
0:) ;;
1:--with-cc) with_cc=1 ;;
*) usage ;;
esac

say() { echo "relaystore: $*" >&2; }

# The same places as in internal/devstack, in the same order but for versions,
# which do not matter here: any one will do.
find_program() {
	command -v "$1" && return
	for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
		/usr/sbin /opt/homebrew/opt/*/bin /usr/local/opt/*/bin \
		/home/linuxbrew/.linuxbrew/opt/*/bin; do
		if [ -x "$dir/$1" ]; then
			echo "$dir/$1"
			return
		fi
	done
	return 1
}

# pg_stat_statements must belong to the PostgreSQL that would be used, hence
# pg_config from beside its initdb, which may be a symlink.
has_contrib() {
	initdb=$(find_program initdb) || return 1
	bin=$(dirname "$(readlink -f "$initdb")")
	share=$("$bin/pg_config" --sharedir 2>/dev/null) || share=/usr/share/postgresql/$(basename "$(dirname "$bin")")
	[ -e "$share/extension/pg_stat_statements.control" ]
}

has_headers() { echo '#include <stdlib.h>' | "${CC:-gcc}" -E - >/dev/null 2>&1; }

missing() {
	find_program initdb >/dev/null || echo postgresql
	has_contrib || echo postgresql-contrib
	find_program redis-server >/dev/null || echo redis-server
	[ -n "$with_cc" ] || return 0
	find_program pgbouncer >/dev/null || echo pgbouncer
	command -v "${CC:-gcc}" >/dev/null || echo gcc
	has_headers || echo libc6-dev
	command -v curl >/dev/null || echo curl
}

packages=$(missing | tr '\n' ' ' | sed 's/ $//')
[ -n "$packages" ] || exit 0

root=
if [ "$(id -u)" != 0 ]; then
	root=$(command -v sudo) || root=no
fi
if [ "$root" = no ] || ! command -v apt-get >/dev/null; then
	say "please install (by Debian's names): $packages"
	say "  Debian, Ubuntu:  apt-get install $packages   (as root; with root or sudo this script does it)"
	say "  Fedora, RHEL:    dnf install postgresql-server postgresql-contrib redis pgbouncer gcc glibc-devel"
	say "  macOS:           brew install postgresql redis pgbouncer   and   xcode-select --install"
	exit 1
fi

as_root() { $root "$@"; }

# NEEDRESTART_SUSPEND: Ubuntu's needrestart would restart unrelated services.
apt() {
	as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
		apt-get -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 </dev/null
}

clusters=/etc/postgresql-common/createcluster.d
policy=/usr/sbin/policy-rc.d
saved=$policy.relaystore-saved
log=$(mktemp)
made_dir=

exists() { [ -e "$1" ] || [ -L "$1" ]; }
is_ours() { grep -qs '^# relaystore:' "$policy"; }

# policy-rc.d with exit code 101 is Debian's way to say: start no service.
forbid_services() {
	if exists "$policy" && ! is_ours; then as_root mv "$policy" "$saved"; fi
	printf '#!/bin/sh\n# relaystore: temporary, by install-servers.sh\nexit 101\n' | as_root tee "$policy" >/dev/null
	as_root chmod 755 "$policy"
}

forbid_clusters() {
	[ -d "$clusters" ] || made_dir=1
	as_root mkdir -p "$clusters"
	echo 'create_main_cluster = false' | as_root tee "$clusters/relaystore.conf" >/dev/null
}

restore() {
	code=$?
	trap '' INT TERM HUP
	if is_ours; then as_root rm -f "$policy"; fi
	if exists "$saved"; then as_root mv "$saved" "$policy"; fi
	if exists "$clusters/relaystore.conf"; then as_root rm -f "$clusters/relaystore.conf"; fi
	if [ -n "$made_dir" ]; then as_root rmdir "$clusters" 2>/dev/null || :; fi
	rm -f "$log"
	exit "$code"
}

fail() {
	cat "$log" >&2
	say "$*"
	exit 1
}

trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

say "installing $packages with apt-get (no service is started)"
# A broken third-party source fails the update, yet not the install.
apt update || say "apt-get update failed; trying to install all the same"
forbid_services
case " $packages " in
*" postgresql "*)
	apt install -y --no-install-recommends postgresql-common || fail "apt-get could not install postgresql-common"
	forbid_clusters
	;;
esac
# shellcheck disable=SC2086 # one word a package
apt install -y --no-install-recommends $packages || fail "apt-get could not install $packages"
# Otherwise the packages' own servers would start with the next boot.
for service in redis-server pgbouncer; do
	case " $packages " in
	*" $service "*) as_root systemctl disable "$service" >>"$log" 2>&1 || : ;;
	esac
done

packages=$(missing | tr '\n' ' ' | sed 's/ $//')
[ -z "$packages" ] || fail "still missing after the installation: $packages"

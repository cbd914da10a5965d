#!/bin/sh
# Installs the Debian packages given as arguments, as root, and starts no service of theirs:
# neither now nor at the next boot, and no database cluster is made on the system's port.
# What was installed before is left exactly as it is.
set -eu
export DEBIAN_FRONTEND=noninteractive

policy=/usr/sbin/policy-rc.d
mark='# put here by cargo xtask for the time of an installation'
installed() { dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

# Left behind when an earlier run was killed.
if [ -f "$policy" ] && grep -qxF "$mark" "$policy"; then rm -f "$policy"; fi
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" > "$policy"
    chmod 755 "$policy"
fi

fresh=
for service in postgresql redis-server nginx haproxy; do
    case "$service" in nginx) package=nginx-common ;; *) package=$service ;; esac
    case " $* " in *" $service "* | *" $service-light "*) installed "$package" || fresh="$fresh $service" ;; esac
done

apt-get update
case "$fresh" in
*postgresql*)
    if ! installed postgresql-common; then
        apt-get install -y --no-install-recommends postgresql-common
        sed -i 's/^#\{0,1\} *create_main_cluster *=.*/create_main_cluster = false/' \
            /etc/postgresql-common/createcluster.conf
    fi
    ;;
esac
apt-get install -y --no-install-recommends "$@"

# Packages enable their services for the next boot; these were wanted for their programs alone.
if [ -d /run/systemd/system ]; then
    for service in $fresh; do systemctl disable --quiet "$service" || true; done
fi

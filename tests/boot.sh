# A systemd of its own for tests/booted.py: process 1 of new namespaces, on a machine that it leaves
# as it was. Run by `unshare --fork --pid --mount --ipc --uts --net` as root.
#
# Arguments: the folder with the checkout, that with Python's packages, that of Python itself, that
# with the installed files, and the name of a control group to make.
set -eu
code=$1 packages=$2 python=$3 image=$4 group=$5

# Whatever is mounted, written or begun here goes when process 1 does.
mount --make-rprivate /
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t tmpfs -o mode=755 tmpfs /run

# What is under test, where the unit's ProtectHome= and PrivateTmp= leave it in sight.
mkdir -p /run/under-test/code /run/under-test/packages /run/under-test/python /run/under-test/image
mount --bind "$code" /run/under-test/code
mount --bind "$packages" /run/under-test/packages
mount --bind "$python" /run/under-test/python
mount --bind "$image" /run/under-test/image

# A machine without its own services: nothing is wanted but the journal.
mkdir -p /run/etc /run/systemd/system
cp -a /etc/. /run/etc
mount --bind /run/etc /etc
: >/etc/fstab
rm -rf /etc/systemd/system/*.wants /etc/systemd/system/*.requires
for wants in /usr/lib/systemd/system/*.wants; do mount -t tmpfs tmpfs "$wants"; done
# These would leave a link in /dev, listen to the machine's own kernel, or mount.
for unit in systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-remount-fs.service; do
    ln -s /dev/null "/run/systemd/system/$unit"
done
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nReadKMsg=no\nRateLimitBurst=0\n' >/etc/systemd/journald.conf.d/booted.conf
cat >/run/systemd/system/booted.target <<'TARGET'
[Unit]
Wants=systemd-journald.service
After=systemd-journald.service
TARGET

# Control groups below one of our own.
mkdir /run/groups
mount -t cgroup2 cgroup2 /run/groups
mkdir "/run/groups/$group"
echo 0 >"/run/groups/$group/cgroup.procs"

# Last, since the arguments may lie there: an empty /tmp, /var, /srv and /dev/shm.
for folder in /tmp /var /srv /dev/shm; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
mkdir -p /var/lib /var/log /var/tmp
ln -s /run /var/run
chmod 1777 /tmp /var/tmp /dev/shm

# Installed as by `make install`, but for the virtual environment.
cp -r /run/under-test/image/usr/local/lib/systemd/system/. /run/systemd/system
cp -r /run/under-test/image/etc/sharpend /etc
systemd-sysusers /run/under-test/image/usr/local/lib/sysusers.d/sharpend.conf
systemd-tmpfiles --create /run/under-test/image/usr/local/lib/tmpfiles.d/sharpend.conf
cp -r /run/under-test/image/dropins/. /run/systemd/system

cd /
exec unshare --cgroup sh -c '
    umount -l /run/groups
    umount -R -l /sys/fs/cgroup || true
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # As on any machine that systemd has booted: else the credentials of a unit are mounted in vain.
    mount --make-rshared /
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=unshare \
        /lib/systemd/systemd --system --unit=booted.target --log-target=journal --show-status=no'

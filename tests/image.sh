#!/usr/bin/env bash
# Build the unchanged Dockerfile and leave the image genrepipe:TAG, without an engine or a registry: buildah and podman
# with a private storage, and a stand-in for the official base image made from this machine's own Debian packages.
# Usage: image.sh CONTEXT WORKDIR [TARGET [TAG [BUILD OPTION ...]]]      needs root
set -eu  # not pipefail: dpkg-query and tar grumble about files that this machine has not
CONTEXT=$(realpath "${1:?context}") WORK=$(realpath -m "${2:?work folder}") TARGET=${3:-score} TAG=${4:-${3:-score}}
mkdir -p "$WORK"
export DEBIAN_FRONTEND=noninteractive
command -v buildah podman runc > /dev/null || { apt-get update -q && apt-get install -yq --no-install-recommends buildah podman runc crun conmon; } > "$WORK/apt.log" 2>&1
export CONTAINERS_STORAGE_CONF=$WORK/storage.conf
printf '[storage]\ndriver="overlay"\nrunroot="%s/run"\ngraphroot="%s/storage"\n' "$WORK" "$WORK" > "$CONTAINERS_STORAGE_CONF"
BASE=docker.io/library/python:3.11-slim-bookworm
if ! podman image exists "$BASE"; then
    ROOT=$WORK/base
    mkdir -p "$ROOT"/{usr/bin,usr/sbin,usr/lib,usr/lib64,usr/local,proc,sys,dev,tmp,run,root,etc,var/tmp,var/lib/dpkg,home}
    for folder in bin sbin lib lib64; do ln -sfn usr/$folder "$ROOT/$folder"; done
    required=$(dpkg-query -W -f '${Package} ${Essential} ${Priority} ${db:Status-Abbrev}\n' | awk '$4 == "ii" && ($2 == "yes" || $3 == "required") { print $1 }')
    extra="ca-certificates netbase tzdata libssl3 libffi8 libsqlite3-0 zlib1g libbz2-1.0 liblzma5 libreadline8 libncursesw6 libuuid1 libgdbm6 libnsl2"
    packages=$(apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances $required $extra | grep -E '^[a-z0-9]' | cut -d: -f1 | sort -u)
    installed=$(for package in $packages; do dpkg-query -W "$package" > /dev/null 2>&1 && echo "$package" || true; done)
    dpkg-query -L $installed 2> /dev/null | grep -vE '^/usr/share/(doc|man|locale|info|lintian)/' | grep '^/.' | sort -u |
        while read -r file; do { [ -e "$file" ] || [ -L "$file" ]; } && { [ -d "$file" ] && [ ! -L "$file" ] || printf '%s\n' "$file"; } || true; done |
        sed -E 's#^/(bin|sbin|lib|lib64)/#/usr/\1/#; s#^/##' | sort -u > "$WORK/base.files"
    tar -C / -c --ignore-failed-read -T "$WORK/base.files" 2> /dev/null | tar -C "$ROOT" -x
    cp /usr/share/base-passwd/passwd.master "$ROOT/etc/passwd"
    cp /usr/share/base-passwd/group.master "$ROOT/etc/group"
    cp -a /etc/ssl/certs/. "$ROOT/etc/ssl/certs/"
    chmod 1777 "$ROOT/tmp" "$ROOT/var/tmp"
    touch "$ROOT/etc/shadow" "$ROOT/etc/gshadow" "$ROOT/etc/pip.conf"
    PYTHON=$(python3 -c 'import sys; print(sys.base_prefix)')
    tar -C "$PYTHON" --exclude='lib/python3.11/site-packages/*' --exclude=lib/python3.11/test --exclude=__pycache__ --exclude='*.a' -c bin/python3.11 bin/python3 bin/python lib include | tar -C "$ROOT/usr/local" -x
    chroot "$ROOT" ldconfig
    chroot "$ROOT" python3 -m ensurepip > /dev/null 2>&1
    ln -sf pip3 "$ROOT/usr/local/bin/pip"
    tar -C "$ROOT" -c . | podman import -q --change 'CMD ["python3"]' --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' --change 'ENV LANG=C.UTF-8' - "$BASE" > /dev/null
fi
JAVA=docker.io/library/eclipse-temurin:17-jre
if [ "$TARGET" = spark ] && ! podman image exists "$JAVA"; then
    home=$(dirname "$(dirname "$(realpath "$(command -v java)")")")
    mkdir -p "$WORK/java/opt/java/openjdk"
    tar -C "$home" -ch --ignore-failed-read . 2> /dev/null | tar -C "$WORK/java/opt/java/openjdk" -x
    tar -C "$WORK/java" -c . | podman import -q - "$JAVA" > /dev/null
fi
CA=/etc/ssl/certs/ca-certificates.crt
mounts=(-v "$CA:$CA:ro")
[ -e /etc/pip.conf ] && mounts+=(-v /etc/pip.conf:/etc/pip.conf:ro)
# Where this machine keeps pip's settings and local packages, if anywhere: mounted for the build, never copied.
for folder in /etc/xdg/pip $(python3 -m pip config list 2> /dev/null | grep -E "index-url|find-links" | grep -oE "(file://|[' ])/[^ ']*" | sed -E "s#^(file://|[' ])##; s#/simple\$##" | sort -u); do
    [ -d "$folder" ] && mounts+=(-v "$folder:$folder:ro")
done
links=$(python3 -m pip config list 2> /dev/null | sed -n "s/^global.find-links='\(.*\)'$/\1/p")
options=("${@:5}")
[ "$TARGET" = train ] && [ -n "$links" ] && options+=(--build-arg "PIP_FIND_LINKS=$links")
buildah bud --isolation chroot --pull-never --layers "${mounts[@]}" --target "$TARGET" "${options[@]}" -t "genrepipe:$TAG" "$CONTEXT" > "$WORK/build-$TAG.log" 2>&1 || { tail -30 "$WORK/build-$TAG.log"; exit 1; }

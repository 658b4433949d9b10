#!/usr/bin/env bats
# busybox's own applets: each command runs natively, in the same root, and in an enclave; output, errors and exit status
# must be equal. Nothing expected is written here.
load helpers

setup_file() {
    IMAGE=$(e2e_image busybox busybox "$OPEN_POLICY")
    ROOT=$BATS_FILE_TMPDIR/root
    mkdir "$ROOT"
    local layout layer
    layout=$("$TOP/tools/make-image" busybox 2>/dev/null)
    layer=$(jq -r '.manifests[0].digest' "$layout/index.json")
    layer=$(jq -r '.layers[0].digest' "$layout/blobs/sha256/${layer#sha256:}")
    tar -xf "$layout/blobs/sha256/${layer#sha256:}" -C "$ROOT"
    export IMAGE ROOT
}

setup() {
    [ "$(id -u)" = 0 ] || skip "chroot needs root"
    cd "$BATS_TEST_TMPDIR"
    printf 'pear 3\napple 12\nfig 7\napple 12\n\tbanana\t5 long line with several words in it\nfig 7\n' >text
    printf 'obase=16\n2^100\nscale=20\n4*a(1)\n10/3\n' >sums
    head -c 70000 /dev/urandom >random
    gzip -nc text >text.gz
    xz -c text >text.xz
    bzip2 -c text >text.bz2
    base64 random >random.b64
    tar -C "$BATS_TEST_TMPDIR" --mtime=@86400 --owner=0 --group=0 -cf some.tar text sums
}

# both INPUT COMMAND...: runs it on both sides with INPUT as standard input; says where they differ.
both() {
    local input=$1 side
    shift
    env -i PATH=/bin HOME=/root TERM=dumb timeout -k 1 30 "$(command -v chroot)" "$ROOT" "$@" <"$input" >native.out 2>native.err ||
        echo "status $?" >>native.out
    timeout -k 1 30 "$COFRE" run --softsgx -i -e PATH=/bin -e HOME=/root -e TERM=dumb "$IMAGE" -- "$@" <"$input" >enclave.out 2>enclave.err ||
        echo "status $?" >>enclave.out
    sed -i '/^cofre: SGX is simulated here/d' enclave.err
    for side in out err; do
        cmp -s native.$side enclave.$side && continue
        echo "differs: $* <$input"
        diff -a native.$side enclave.$side | head -10
        bad=1
    done
}

# each: lines "INPUT COMMAND..." from standard input.
each() {
    local line
    bad=0
    while read -r line; do
        eval "both $line" </dev/null
    done
    [ "$bad" -eq 0 ]
}

@test "busybox: text" {
    each <<'END'
text cat -n
text head -n 3
text tail -n 2
text tail -c 10
text wc
text sort
text sort -r -n -k 2
text uniq -c
text cut -d ' ' -f 2
text tr a-z A-Z
text tr -d '\n'
text sed -n '/fig/{s/i/I/;p}'
text sed 's/\([a-z]*\) \([0-9]*\)/\2 \1/'
text awk '{ s += $2; n[$1]++ } END { print s, n["apple"], length(n) }'
text awk -F '\t' '{ printf "%5.2f|%s\n", NR / 3, $2 }'
text grep -n apple
text grep -vc fig
text grep -E '^(pear|fig)'
text grep nothing
text fold -w 10
text expand
text unexpand -a
text nl
text tac
text rev
text paste - -
text tee
text more
text shuf -n 0
text ts ''
END
}

@test "busybox: bytes, digests, compression, archives" {
    each <<'END'
text od -c
text od -A x -t x1z
text hexdump -C
text xxd
random md5sum
random sha1sum
random sha256sum
random sha512sum
random sha3sum
random crc32
random base64
random.b64 base64 -d
random strings -n 6
text uuencode -m name
text.gz gunzip -c
text.xz unxz -c
text.bz2 bunzip2 -c
text bzip2 -c
text gunzip -c
some.tar tar -tvf -
some.tar tar -xOf - text
some.tar md5sum -
random dd bs=1000 count=3 status=none
random cmp - /etc/passwd
text.gz gzip -l
END
}

@test "busybox: numbers, names, times, the system" {
    each <<'END'
sums bc -l
/dev/null dc -e '2 100 ^ p'
/dev/null factor 123456789 97 1000000007
/dev/null seq 3 2 11
/dev/null expr 3 + 4 '*' 2
/dev/null expr abc : 'a\(.\)'
/dev/null printf '%5d|%-5s|%x|%c\n' 42 ab 255 z
/dev/null echo -e 'a\tb\x41'
/dev/null test 1 -lt 2
/dev/null test -d /etc/passwd
/dev/null [ -x /bin/sh ]
/dev/null false
/dev/null basename /a/b/c.txt .txt
/dev/null dirname /a/b/c.txt
/dev/null readlink -f /bin/../etc/passwd
/dev/null realpath /usr/../etc/group
/dev/null cal 2 2024
/dev/null date -u -d @86400
/dev/null date -u -d '2024-02-29 12:00' +%s
/dev/null pwd
/dev/null id
/dev/null whoami
/dev/null groups
/dev/null uname -m
/dev/null tty
/dev/null ipcalc -n 10.1.2.3/20
/dev/null mkpasswd -m sha512 -S saltsalt secret
/dev/null getopt -o ab: -- -a -b x y
/dev/null usleep 1
/dev/null which sh
/dev/null ls -ln /bin/sh /etc/passwd
/dev/null ls /nonexistent
/dev/null stat -c '%n %s %a %u %g %h %F' /etc/passwd
/dev/null diff /etc/passwd /etc/group
/dev/null cat /nonexistent
/dev/null mkdir /etc
/dev/null rmdir /etc
/dev/null chmod 9999 /etc/passwd
END
}

@test "busybox: the shell alone" {
    each <<'END'
/dev/null sh -c 'set -- a b c; shift; echo $# $*; umask; x=5; echo $((x * 7 % 4)) ${x:-1} ${y:-2}'
/dev/null sh -c 'cd /tmp; echo one >f; echo two >>f; read x <f; echo $x; while read l; do echo "[$l]"; done <f; : >f'
text sh -c 'while read a b; do case $a in app*) echo yes $b;; *) echo no;; esac; done'
/dev/null sh -c 'f() { local i; for i in 1 2 3; do [ $i = 2 ] && continue; echo $i; done; return 4; }; f; echo $?'
/dev/null sh -c 'trap "echo bye" EXIT; trap "echo usr" USR1; kill -USR1 $$; echo after; exit 3'
/dev/null sh -c 'echo to error >&2; exec nothing-there'
/dev/null sh -c 'ulimit -n 100; ulimit -n; test -t 0; echo $?; type cd; echo /e*/pass*'
text sh -c 'exec sort -u'
END
}

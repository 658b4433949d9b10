#!/bin/bash
# A day's work of a shell: what it prints must be the same natively and in an enclave. Run as: bash shell.sh FOLDER (made anew).
set -u
export LC_ALL=C TZ=UTC
umask 022
rm -rf "$1"
mkdir -p "$1"
cd "$1" || exit 1

part() { printf '== %s\n' "$*"; }
fail() { return "$1"; }

part pipelines
seq 1 200 | grep 7 | sed 's/7/seven/g' | sort -r | head -5
printf '%s\n' pear apple fig apple fig apple | sort | uniq -c | sort -k1,1nr -k2 | awk '{ print $2 ": " $1 }'
seq 1 1000 | awk '{ s += $1 } END { print s }'
yes | head -1000 | wc -l
false | true
echo "status ${PIPESTATUS[*]}"
set -o pipefail
seq 3 | { cat >/dev/null; fail 5; } | cat
echo "pipefail $?"
set +o pipefail
head -c 300000 /dev/zero | tr '\0' x | cksum
seq 1 100000 | tee >(tail -1 >last) | md5sum
until [ -s last ]; do sleep 0.01; done
cat last

part subshells
x=outer
(x=inner; cd /; echo "$x $PWD"; exit 3)
echo "$? $x"
echo "$(echo one; echo "$(echo two; (echo three))")"
n=0
while read -r line; do n=$((n + line)); done < <(seq 10)
echo "sum $n"
for i in 1 2 3 4 5 6 7 8; do (echo "$i") & done >unordered
wait
sort unordered | tr '\n' ' '
echo
( ( ( exit 7 ) ) )
echo "nested $?"
echo "$BASH_SUBSHELL $(echo "$BASH_SUBSHELL $(echo "$BASH_SUBSHELL")")"

part traps
(trap 'echo bye' EXIT; echo working)
(trap 'echo got usr1' USR1; kill -USR1 $BASHPID; echo after)
bash -c 'trap "echo term; exit 9" TERM; kill -TERM $$; sleep 10'
echo "status $?"
{ bash -c 'kill -KILL $$'; } 2>/dev/null
echo "status $?"
bash -c 'trap "" INT; kill -INT $$; echo ignored'
bash -c 'trap "echo err at \$LINENO" ERR; false; true'
(
    trap 'echo child' CHLD
    set -m
    sleep 0.05 &
    wait
)

part here-documents
name=world
cat <<END1; cat <<'END2'; cat <<-END3
hello $name $((6 * 7)) $(echo sub)
END1
no $name $(expansion)
END2
	tabs $name gone
	END3
tr a-z A-Z <<<"a here string"
bash <<'SCRIPT'
i=0
until [ $i -ge 3 ]; do printf '%d ' $i; ((i++)); done
echo
SCRIPT
while IFS=: read -r key value; do echo "[$key]=[$value]"; done <<PAIRS
a:1
b:two words
c:
PAIRS
# longer than a pipe holds
cat <<BIG | cksum
$(seq 1 30000)
BIG

part background jobs
sleep 30 &
first=$!
jobs -r | sed 's/^.* Run/Run/; s/  */ /g'
kill $first
wait $first
echo "killed $?"
for i in 3 1 2; do (sleep 0.$i; exit $i) & pids="${pids-} $!"; done
for pid in $pids; do wait "$pid"; printf '%d ' $?; done
echo
(sleep 0.1; echo late >flag) &
wait -n $!
cat flag
coproc doubler { while read -r v; do echo $((v * 2)); done; }
echo 21 >&"${doubler[1]}"
read -r answer <&"${doubler[0]}"
echo "coproc $answer"
eval "exec ${doubler[1]}>&-"
wait
mkfifo pipe
(for w in to the fifo; do echo $w; done >pipe) &
paste -sd' ' <pipe
wait
timeout 0.2 sleep 5
echo "timeout $?"
bash -c 'kill -STOP $$; echo resumed' &
stopped=$!
until grep -q '^State:.T' /proc/$stopped/status; do sleep 0.02; done
kill -CONT $stopped
wait $stopped
exec 7>seven 8<&0
echo "to seven" >&7
exec 7>&- 8<&-
cat seven

part files
mkdir -p tree/{a,b,c}/{1,2,3}
for f in tree/*/*; do echo "$f" >"$f/name"; head -c $((RANDOM % 1 + 1234)) /dev/zero >"$f/data.bin"; done
ln -s ../a/1/name tree/b/link
ln tree/a/1/name tree/hard
chmod 640 tree/c/3/name
chmod 4755 tree/c/2/name
touch -d '2020-02-02 02:02:02' tree/a/2/name
find tree | sort
find tree -type f -name name -exec cat {} + | sort
find tree -type f -size +1000c -exec sh -c 'echo "$1 $(wc -c <"$1")"' _ {} \; | sort
find tree -newer tree/a/2/name -name 'n*' -o -type l -printf '%p -> %l\n' | sort
find tree -perm -4000 -o -perm 640 | sort
find tree -links 2 -type f | sort
find tree -empty -delete
stat -c '%A %h %s %n' tree/c/2/name tree/hard tree/b/link
stat -c '%y' tree/a/2/name
find tree -type f -print0 | sort -z | xargs -0 -n 2 -P 4 sh -c 'cat "$@" | cksum' _ | sort
seq 1 60 | xargs -P 4 -n 1 sh -c 'echo $(($1 * $1))' _ | sort -n | tail -3
seq 1 5000 | xargs -n 500 echo | wc -lw
find tree -name data.bin | xargs rm
cp -a tree copy
diff -r tree copy && echo same
echo changed >>copy/b/2/name
diff -r tree copy
mv copy/a moved
ls -R moved | head -8
ls -l tree/b | awk 'NR > 1 { print $1, $2, $9, $10, $11 }'
du -al --apparent-size tree | sort -k2 | awk '{ print $2 }' | tail -3
cmp tree/a/1/name tree/a/2/name
rm -r moved
rmdir tree 2>&1
ls /nonexistent 2>&1
test -e copy/a || echo gone
readlink -f tree/b/link | sed "s|$PWD|.|"
truncate -s 1M sparse
dd if=/dev/zero of=sparse bs=4096 seek=300 count=2 conv=notrunc status=none
stat -c %s sparse
split -b 100000 sparse piece.
cat piece.* | cmp - sparse && ls piece.* | wc -l

part text
cat >table <<'TABLE'
alice 31 berlin
bob 25 madrid
carol 47 lisbon
dave 25 berlin
TABLE
awk '$2 < 40 { c[$3]++; a[$3] += $2 } END { for (k in c) printf "%s %d %.1f\n", k, c[k], a[k] / c[k] }' table | sort
awk 'BEGIN { while (("sort -k2n table" | getline line) > 0) print "<" line ">"; "date -u -d @0 +%F" | getline d; print d }'
awk '{ print > ("out." $3) } END { close("out.berlin"); system("cat out.berlin") }' table
sed -n '/bob/,/carol/p; $!d' table | sed -E 's/([a-z]+) ([0-9]+)/\2:\1/'
sed -i.bak '2d; s/berlin/Berlin/' table
cat table
sort -t' ' -k3,3 -k2,2n table.bak | join -1 1 -2 1 <(sort table) <(sort table.bak) | cut -d' ' -f1,4-
grep -rn --include='na*' tree/a tree | sort | head -3
grep -c . table table.bak
grep -oE '[0-9]+' table.bak | paste -sd+ | tee sum
echo $(($(cat sum)))
comm -3 <(sort table) <(sort table.bak)
diff -u table.bak table | tail -n +3
tac table | rev | fold -w 7 | nl
od -An -tx1 -N16 table
base64 table | base64 -d | cmp - table
printf 'b\na\nc\n' | shuf --random-source=<(yes) | sort | tr -d '\n'
echo

part archives
tar --sort=name --mtime=@86400 --owner=0 --group=0 -cf one.tar tree
tar -tvf one.tar | awk '{ print $1, $3, $6, $7, $8 }'
sha256sum one.tar
gzip -nk one.tar
gunzip -c one.tar.gz | cmp - one.tar
mkdir unpacked
tar -xzf one.tar.gz -C unpacked
diff -r tree unpacked/tree && echo unpacked
tar -cf - tree | (cd unpacked && tar -xf - && find . -type f | wc -l)
zcat one.tar.gz | tar -xOf - tree/a/3/name
gzip -l one.tar.gz | awk 'NR == 2 { print $2 }'

part shell itself
declare -A map=([one]=1 [two]=2)
for key in "${!map[@]}"; do echo "$key=${map[$key]}"; done | sort
words=(alpha beta gamma)
echo "${words[@]:1}" "${#words[@]}" "${words[-1]^^}" "${name//o/0}" "${name:1:3}" "${none:-default}"
case $name in w*) echo starts ;; *) echo other ;; esac
[[ $name =~ ^(w.)r(.*)$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
printf '%05.1f|%-6s|%q\n' 3.14159 ab "a b'c"
f() { local i; for ((i = 0; i < 3; i++)); do printf '%d' "$i"; [ "$i" = 1 ] && break; done; echo; return 4; }
f
echo "f $?"
set -- $(getopt -o ab: -- -a -b x y 2>/dev/null)
echo "$# $*"
(ulimit -n 64; ulimit -n)
(exec nothing-there) 2>&1 | sed 's/.*line [0-9]*: //'
/etc/passwd 2>&1 | sed 's/.*line [0-9]*: //'
id -u
uname -sm
type cd | head -1
set -e
(false; echo not reached) || echo "set -e does not act here"
echo done

# What programs say of processes: a sleeping one, a busy one, one of several threads are there, each as what it is.
sleep 100 3</etc/passwd &
asleep=$!
(while :; do :; done) &
busy=$!
ps -o comm=,args= -p $asleep
ps -o ppid= -p $asleep | tr -d ' '
pgrep -x sleep | grep -cx $asleep
pidof sleep | grep -cw $asleep
pgrep -P 1 -l sleep | wc -l
ps -o args= -p 1 | cut -d' ' -f1
for _ in $(seq 50); do
    [ "$(ps -o cputimes= -p $busy)" -ge 1 ] && break
    sleep 0.1
done
ps -o stat= -p $busy | cut -c1
ps -o stat= -p $asleep | cut -c1
echo "used a second: $(($(ps -o cputimes= -p $busy) >= 1)), none: $(ps -o cputimes= -p $asleep | tr -d ' ')"
top -b -n1 -p $busy | awk '$1 ~ /^[0-9]+$/ {print $8, $12}'
ps axo pid= | grep -cw -e 1 -e $asleep -e $busy
free -m | cut -d: -f1 | tail -2
vmstat 1 2 | tail -1 | wc -w
uptime | grep -c 'load average'
pmap $asleep | grep -c 'r-x-- libc.so.6'
lsof -p $asleep | awk '$4 == "cwd" || $4 == "txt" || $4 == "3r" {print $1, $4, $5, $NF}'
fuser /etc/passwd 2>/dev/null | wc -w
pstree 1 | grep -o 'sleep' | head -1
readlink /proc/$asleep/exe
tr '\0' ' ' </proc/$asleep/cmdline && echo
renice -n 7 -p $asleep >/dev/null && ps -o ni= -p $asleep
kill -STOP $asleep && sleep 0.1 && ps -o stat= -p $asleep | cut -c1
kill -CONT $asleep
pkill -x sleep && wait $asleep
echo "ended $?"
kill $busy
segment=$(ipcmk -M 4096 -p 600 | tr -dc 0-9)
ipcs -m | awk -v id="$segment" '$2 == id {print $3, $4, $5, $6}'
ipcrm -m "$segment"
ipcs -m -u | grep -i 'segments allocated'
sysctl -n kernel.ostype
# Sockets and locks: those of a process of its own, found by its port, which no connection gets by itself, and its number. It was used a moment ago.
perl -MIO::Socket::INET -e '
    $l = IO::Socket::INET->new(Listen => 5, ReuseAddr => 1, LocalAddr => "127.0.0.1:18123") or die;
    $c = IO::Socket::INET->new("127.0.0.1:18123");
    $a = $l->accept;
    $u = IO::Socket::INET->new(Proto => "udp", LocalAddr => "127.0.0.1:18123");
    open $f, ">", "/tmp/tools.lock";
    flock $f, 2;
    sleep 100' &
serves=$!
for _ in $(seq 100); do
    grep -qs "$(stat -c %i /tmp/tools.lock 2>/dev/null || echo none)" /proc/locks && break
    sleep 0.1
done
netstat -tulpn | awk -v p="$serves/perl" '$4 ~ /:18123$/ {print $1, $2, $3, $4, $5, $6 == p || $7 == p}'
netstat -tnp | awk -v p="$serves/perl" '$5 ~ /:18123$/ {print $1, $5, $6, $7 == p}'
ss -Htlnp | awk -v p="pid=$serves," '$4 ~ /:18123$/ {print $1, $4, $5, (index($6, p) > 0)}'
ss -Htulnpx 2>&1 >/dev/null | wc -l
ss -Hulnp | awk -v p="pid=$serves," '$4 ~ /:18123$/ {print $1, $4, $5, (index($6, p) > 0)}'
lsof -nP -a -p $serves -i | awk 'NR > 1 {print $1, $5, $8, $9, $10}' | sed -E 's/:[0-9]+/:PORT/g'
lslocks -n -o PID,TYPE,MODE,START,END,PATH | awk -v p=$serves '$1 == p {$1 = ""; print}'
kill $serves
rm /tmp/tools.lock

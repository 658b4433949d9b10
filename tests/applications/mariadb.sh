# A new MariaDB on default settings: bulk insert, queries, transactions, a crash by SIGKILL and recovery, CHECK TABLE.
d=/tmp/data s=/tmp/mariadb.sock
mkdir $d
mariadb-install-db --no-defaults --user=root --datadir=$d --auth-root-authentication-method=normal --skip-test-db >/tmp/install.log 2>&1 || {
    grep ERROR /tmp/install.log >&2
    exit 1
}
start() {
    mariadbd --no-defaults --user=root --datadir=$d --socket=$s --skip-networking --pid-file=/tmp/pid >>/tmp/mariadbd.log 2>&1 &
    server=$!
    until mariadb-admin --no-defaults -u root -S $s ping >/dev/null 2>&1; do sleep 0.1; done
}
sql() { mariadb --no-defaults -u root -S $s -N -e "$1"; }
start
sql "create database d; use d;
    create table t(id int primary key auto_increment, name varchar(50), n int, key(n));
    insert into t(name, n) select concat('name', seq), seq * 7919 % 10007 from seq_1_to_50000;
    select count(*), sum(n), max(name) from t;
    start transaction; update t set n = 0; rollback;
    start transaction; delete from t where n % 10 = 3; commit;
    select count(*), sum(n) from t; select n % 7, count(*) from t group by 1 order by 1; check table t"
for i in 1 2 3 4; do sql "use d; insert into t(name, n) select concat('more$i.', seq), seq from seq_1_to_500" & clients="${clients-} $!"; done
wait $clients
kill -KILL $server
wait $server 2>/dev/null
rm -f $s
start
sql "select count(*), sum(n) from d.t; check table d.t"
mariadb-admin --no-defaults -u root -S $s shutdown
wait $server
echo "ended $?"

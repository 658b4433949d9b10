# A new PostgreSQL on default settings, as user postgres: SQL, pgbench with eight clients, dump and restore, a backend killed by SIGKILL and
# recovery, an index check. PGBENCH_TRANSACTIONS and PGBENCH_SELECTS: of each client.
export PATH=/usr/lib/postgresql/15/bin:$PATH PGHOST=/tmp/pg PGUSER=postgres LC_ALL=C.UTF-8 PGOPTIONS='-c client_min_messages=warning'
d=/tmp/pg/data
sql() { psql -XAtq -v ON_ERROR_STOP=1 "$@"; }
# What TPC-B keeps: all balances are the sum of the deltas, each transaction is in the history.
balances() {
    sql bench -c 'select count(*), sum(delta) = (select sum(abalance) from pgbench_accounts), sum(delta) = (select sum(tbalance) from pgbench_tellers),
        sum(delta) = (select sum(bbalance) from pgbench_branches) from pgbench_history'
}

mkdir $d
initdb -D $d -A trust --locale=C.UTF-8 >/tmp/pg/initdb.log 2>&1 || { cat /tmp/pg/initdb.log && exit 1; }
start() { pg_ctl -D $d -l /tmp/pg/log -w -t 100 -o '-k /tmp/pg -h "" -c fsync=off' start >/dev/null || { cat /tmp/pg/log && exit 1; }; }
start
sql -c 'create database d' -c 'create database bench'
sql d <<'SQL'
create table t(id serial primary key, name text, n int);
create index on t(n);
insert into t(name, n) select 'name' || i, i * 7919 % 10007 from generate_series(1, 20000) i;
select count(*), sum(n), max(name) from t;
begin; update t set n = 0; rollback;
begin; delete from t where n % 10 = 3; commit;
select count(*), sum(n) from t;
select n % 7, count(*) from t group by 1 order by 1;
create function f(n int) returns int language plpgsql as $$ begin if n < 2 then return n; end if; return f(n - 1) + f(n - 2); end $$;
select f(15);
create table j(v jsonb);
insert into j select jsonb_build_object('k', i, 'l', array[i, i + 1]) from generate_series(1, 100) i;
select sum((v->'l'->>1)::int) from j where v @> '{"k": 7}' or (v->>'k')::int > 90;
set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
select count(*), sum(n) from t where n % 3 = 1;
SQL

pgbench -i -q bench >/dev/null 2>&1 || echo 'pgbench -i failed'
for run in "-S -t ${PGBENCH_SELECTS:-200}" "-t ${PGBENCH_TRANSACTIONS:-25}"; do
    # shellcheck disable=SC2086
    pgbench -n -c 8 -j 2 $run bench >/tmp/pg/out 2>&1 || cat /tmp/pg/out
    grep -E '^number of (transactions|failed)' /tmp/pg/out
    grep '^tps' /tmp/pg/out >&2
done
balances

dump() { pg_dump "$1" | sed '/^\\\(un\)\?restrict/d'; } # by a new random word each time
dump d >/tmp/pg/dump
sql -c 'create database restored'
sql restored -f /tmp/pg/dump >/dev/null
dump restored >/tmp/pg/dump2
grep -c . /tmp/pg/dump
cmp /tmp/pg/dump /tmp/pg/dump2 && echo 'dumps are equal'

# One backend is killed: the others end, and the server recovers by its log.
pgbench -n -c 2 -t 1000000 bench >/tmp/pg/out 2>&1 &
until [ "$(sql bench -c 'select count(*) > 210 from pgbench_history')" = t ]; do :; done
kill -KILL "$(sql bench -c "select pid from pg_stat_activity where application_name = 'pgbench' limit 1")"
wait $!
echo "pgbench ended $?"
until sql bench -c 'select 1' >/dev/null 2>&1; do sleep 0.1; done
grep -oE 'was terminated by signal 9|database system was not properly shut down|reinitializing' /tmp/pg/log
balances | cut -d '|' -f 2-
sql bench -c 'create extension amcheck' -c "select count(bt_index_check(c.oid, true)) > 3 from pg_index i join pg_class c on c.oid = i.indexrelid
    join pg_am a on a.oid = c.relam where a.amname = 'btree' and c.relpersistence = 'p' and c.relkind = 'i'"
pg_ctl -D $d -w -t 100 -m fast stop >/dev/null
echo "ended $?"

#!/usr/bin/env bats
# Servers in an enclave and real clients: make test-applications.
load ../e2e/helpers

here=$BATS_TEST_DIRNAME

setup() {
    [ "$(id -u)" = 0 ] || skip "chroot needs root"
    PORT=$(free_port)
    cd "$BATS_TEST_TMPDIR"
}

teardown() {
    native_stop
    [ -z "${SERVER-}" ] || { kill -KILL "$SERVER" 2>/dev/null; wait "$SERVER" 2>/dev/null; } || true
}

# serve COMMAND...: COMMAND in an enclave, its port 8000 reached on PORT; standard input is the test's.
serve() {
    # shellcheck disable=SC2086
    "$COFRE" run --softsgx -i -p "127.0.0.1:$PORT:8000" -e HOME=/root ${RUN_OPTIONS-} "$IMAGE" -- "$@" <&0 >server.out 2>server.err &
    SERVER=$!
}

# stop: asks the server to end, as an engine would, and waits.
stop() {
    kill -TERM "$SERVER"
    wait_until 10 sh -c "! kill -0 $SERVER" && SERVER=
}

native_stop() {
    [ -n "${NATIVE-}" ] || return 0
    pkill -TERM -P "$NATIVE" || true # timeout, which makes sure
    wait "$NATIVE" || true
    NATIVE=
}

# load PORT URL-PATH CLIENTS SECONDS: wrk; prints what 1000 requests took, in microseconds. Fails if a request did.
load() {
    wrk -t1 -c"$3" -d"$4" "http://127.0.0.1:$1$2" >wrk.out
    if grep -E 'Non-2xx|Socket errors' wrk.out >&2; then return 1; fi
    awk '/Requests.sec/ { printf "%.0f\n", 1e9 / $2 }' wrk.out
}

# rates NAME URL-PATH CLIENTS COMMAND...: the server under load. With COFRE_ROUNDS the same server natively too (COMMAND listens on LISTEN), and load at both,
# one after the other, COFRE_ROUNDS times 3 s; what 1000 requests take goes to build/applications.tsv.
rates() {
    local name=$1 path=$2 clients=$3 port round took
    shift 3
    if [ "${COFRE_ROUNDS:-1}" = 1 ]; then
        load "$PORT" "$path" "$clients" 1
        return
    fi
    port=$(free_port)
    native env LISTEN="$port" "$@" <&0 >native.out 2>native.err &
    NATIVE=$!
    wait_until 20 curl -sf "127.0.0.1:$port$path"
    for round in $(seq "$COFRE_ROUNDS"); do
        took=$(load "$port" "$path" "$clients" 3)
        printf '%s, 1000 requests\tnative\t%s\n' "$name" "$took" >>"$BUILD/applications.tsv"
        took=$(load "$PORT" "$path" "$clients" 3)
        printf '%s, 1000 requests\tenclave\t%s\n' "$name" "$took" >>"$BUILD/applications.tsv"
    done
    native_stop
}

@test "gunicorn and Flask: four workers" {
    application_image servers
    local command='cat >/tmp/app.py; cd /tmp; exec gunicorn -w 4 -b 0.0.0.0:${LISTEN:-8000} app:app'
    serve sh -c "$command" <"$here/app.py"
    wait_until 20 curl -sf "127.0.0.1:$PORT/"
    [ "$(curl -s "127.0.0.1:$PORT/")" = hello ]
    head -c 300000 /dev/urandom >data
    [ "$(curl -s --data-binary @data "127.0.0.1:$PORT/digest")" = "$(sha256sum <data | cut -d' ' -f1)" ]
    for _ in $(seq 100); do curl -s "127.0.0.1:$PORT/pid" && echo; done | sort -u >pids &
    curl -s "127.0.0.1:$PORT/[1-200]" -o /dev/null
    wait %2
    [ "$(wc -l <pids)" -ge 1 ]
    rates "gunicorn, Flask hello, 16 clients" / 16 sh -c "$command" <"$here/app.py"
    stop
    grep -q 'Shutting down: Master' server.err
}

@test "nginx, default configuration: files, keep-alive, reload by SIGHUP with no failed request, access log complete" {
    application_image servers
    local command='mkdir -p /var/log/nginx; head -c 102400 /dev/zero >/var/www/html/big; head -c 1024 /dev/zero >/var/www/html/small; echo hello >/var/www/html/index.html
        [ -z "$LISTEN" ] || rm -f /etc/nginx/sites-enabled/default # port 80 is not ours
        echo "server { listen ${LISTEN:-8000}; root /var/www/html; access_log /dev/stdout; }" >/etc/nginx/conf.d/test.conf
        exec nginx -g "daemon off;"'
    serve sh -c "$command" </dev/null
    wait_until 20 curl -sf "127.0.0.1:$PORT/"
    [ "$(curl -s "127.0.0.1:$PORT/big" | wc -c)" = 102400 ]
    ! curl -sf "127.0.0.1:$PORT/absent"
    [ "$(curl -s -o /dev/null -o /dev/null -w "%{num_connects}" "127.0.0.1:$PORT/" "127.0.0.1:$PORT/big")" = 10 ]
    python3 "$here/requests.py" "$PORT" 300 "kill -HUP $SERVER"
    rates "nginx, 6 bytes, 64 clients" / 64 sh -c "$command" </dev/null
    rates "nginx, 1 KiB, 64 clients" /small 64 sh -c "$command" </dev/null
    rates "nginx, 100 KiB, 64 clients" /big 64 sh -c "$command" </dev/null
    stop
    [ "$(grep -c '"GET /?n=[0-9]* HTTP/1.1" 200' server.out)" = 300 ]
}

# one_worker NAME DIRECTIVES: sets command
one_worker() {
    command='head -c 102400 /dev/zero >/var/www/html/big; head -c 1024 /dev/zero >/var/www/html/small; mkdir -p /var/log/nginx
        echo "events {} http { access_log off; sendfile on; server { listen ${LISTEN:-8000}; root /var/www/html; } }" >/tmp/nginx.conf
        exec nginx -c /tmp/nginx.conf -g "daemon off; '$2'"'
    serve sh -c "$command" </dev/null
    wait_until 20 curl -sf "127.0.0.1:$PORT/small"
    rates "nginx, $1, 1 KiB, 64 clients" /small 64 sh -c "$command" </dev/null
    rates "nginx, $1, 100 KiB, 64 clients" /big 64 sh -c "$command" </dev/null
    stop
}

# few_exits URL-PATH: what one_worker has started has at most one exit for ten requests, also if all clients come at once.
few_exits() {
    local exits requests
    RUN_OPTIONS=--stats=json:stats.json
    serve sh -c "$command" </dev/null
    wait_until 20 curl -sf "127.0.0.1:$PORT/small"
    load "$PORT" "$1" 64 3
    stop
    exits=$(jq .eexit stats.json) requests=$(awk '/requests in/ { print $1 }' wrk.out)
    echo "# $1: $exits exits, the start's among them, $requests requests" >&3
    [ $((exits * 10)) -le "$requests" ]
}

@test "nginx, one worker with a master: files under 64 clients, hardly an exit for them" {
    application_image servers
    one_worker "one worker" "worker_processes 1;"
    few_exits /small
    few_exits /big
}

@test "nginx, one process: files under 64 clients, hardly an exit for them" {
    application_image servers
    one_worker "one process" "master_process off;"
    few_exits /small
    few_exits /big
}

@test "PHP-FPM: three workers, FastCGI" {
    application_image servers
    serve sh -c 'cat >/tmp/page.php; printf "%s\n" "[global]" error_log=/dev/stderr daemonize=no "[www]" user=www-data group=www-data \
        listen=0.0.0.0:8000 pm=static pm.max_children=3 >/tmp/fpm.conf; exec php-fpm8.2 -F -y /tmp/fpm.conf' \
        <<<'<?php $s = 0; for ($i = 0; $i < 1000; $i++) $s += crc32((string)$i); echo "$s ", $_GET["n"];'
    wait_until 20 nc -z 127.0.0.1 "$PORT"
    for n in 1 2 3 4 5 6; do
        run -0 env SCRIPT_FILENAME=/tmp/page.php REQUEST_METHOD=GET QUERY_STRING=n=$n timeout 10 cgi-fcgi -bind -connect "127.0.0.1:$PORT"
        [[ "$output" == *"2044476573902 $n" ]]
    done
    stop
}

@test "haproxy: checks, balances, sets headers" {
    application_image servers
    serve bash -c "$(cat "$here/haproxy.sh")" </dev/null
    wait_until 20 curl -sf "127.0.0.1:$PORT/"
    wait_until 10 sh -c "for i in 1 2 3 4; do curl -s 127.0.0.1:$PORT/; echo; done | sort -u | wc -l | grep -qx 2"
    [ "$(curl -s "127.0.0.1:$PORT/")" != "$(curl -s "127.0.0.1:$PORT/")" ]
    [[ "$(curl -s "127.0.0.1:$PORT/")" == *' through haproxy' ]]
    ! curl -s "127.0.0.1:$PORT/[1-300]" | tr -d '\n' | grep -q 503
}

@test "OpenSSH server: commands, 20 MB through it, a terminal" {
    application_image servers
    ssh-keygen -q -t ed25519 -N '' -f id
    serve sh -c 'mkdir -p /run/sshd /root/.ssh; chmod 700 /root/.ssh; cat >/root/.ssh/authorized_keys
        ssh-keygen -q -t ed25519 -N "" -f /tmp/host_key
        exec /usr/sbin/sshd -D -e -f /dev/null -p 8000 -o UsePAM=no -o HostKey=/tmp/host_key -o Subsystem="sftp internal-sftp"' <id.pub
    options=(-i id -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR)
    ssh="timeout 20 ssh ${options[*]} -p $PORT root@127.0.0.1"
    wait_until 20 $ssh true
    [ "$($ssh 'seq 100000 | sha256sum')" = "$(seq 100000 | sha256sum)" ]
    run -3 $ssh 'exit 3'
    head -c 20000000 /dev/urandom >data
    [ "$($ssh 'cat >/tmp/data; sha256sum </tmp/data' <data)" = "$(sha256sum <data)" ]
    timeout 30 scp "${options[@]}" -P "$PORT" root@127.0.0.1:/tmp/data back
    cmp data back
    run -0 timeout 20 ssh "${options[@]}" -tt -p "$PORT" root@127.0.0.1 'tty; stty size; stat -c %a $(tty)' </dev/null
    [[ "$output" == */dev/pts/* ]]
    [[ "$output" == *620* ]]
    stop
}

@test "memcached: sets, gets, counters, expiry" {
    application_image languages
    serve memcached -u root -p 8000 -m 64 -t 4 </dev/null
    wait_until 10 nc -z 127.0.0.1 "$PORT"
    python3 "$here/memcached.py" "$PORT"
}

@test "Node.js 20: HTTP under 64 clients" {
    application_image node
    local command='exec node -e "const big = Buffer.alloc(102400, 120)
        require(\"http\").createServer((q, r) => r.end(q.url == \"/big\" ? big : \"hello\\n\")).listen(+process.env.LISTEN || 8000)"'
    serve sh -c "$command" </dev/null
    wait_until 20 curl -sf "127.0.0.1:$PORT/"
    [ "$(curl -s "127.0.0.1:$PORT/")" = hello ]
    [ "$(curl -s "127.0.0.1:$PORT/big" | wc -c)" = 102400 ]
    python3 "$here/requests.py" "$PORT" 500 true
    rates "node http, 64 clients" / 64 sh -c "$command" </dev/null
    rates "node http, 100 KiB, 64 clients" /big 64 sh -c "$command" </dev/null
}

@test "Caddy (Go): HTTP under 64 clients" {
    application_image go
    local command='mkdir /tmp/site; echo hello >/tmp/site/index.html; head -c 102400 /dev/zero >/tmp/site/big; export HOME=/tmp
        exec caddy file-server --root /tmp/site --listen :${LISTEN:-8000}'
    serve sh -c "$command" </dev/null
    wait_until 20 curl -sf "127.0.0.1:$PORT/"
    [ "$(curl -s "127.0.0.1:$PORT/")" = hello ]
    [ "$(curl -s "127.0.0.1:$PORT/big" | wc -c)" = 102400 ]
    python3 "$here/requests.py" "$PORT" 500 true
    rates "caddy, 6 bytes, 64 clients" / 64 sh -c "$command" </dev/null
    rates "caddy, 100 KiB, 64 clients" /big 64 sh -c "$command" </dev/null
    stop
}

# slap PORT: 32 clients, tables in memory; microseconds.
slap() {
    native mariadb --no-defaults -h 127.0.0.1 -P "$1" -u root -e 'drop database if exists mysqlslap'
    native mariadb-slap --no-defaults -h 127.0.0.1 -P "$1" -u root --engine=memory --auto-generate-sql --auto-generate-sql-load-type=mixed \
        --concurrency=32 --auto-generate-sql-execute-number=200 --no-drop |
        awk '/Average number of seconds/ { print int($(NF - 1) * 1e6) }'
}

@test "MariaDB: tables in memory, 32 clients" {
    APPLICATION_POLICY+='enclave_size: 16T
'
    application_image mariadb
    local round side command='mkdir /tmp/d && mariadb-install-db --no-defaults --user=root --datadir=/tmp/d --skip-test-db >/tmp/log 2>&1 &&
        exec mariadbd --no-defaults --user=root --datadir=/tmp/d --socket=/tmp/s --skip-grant-tables --port=${LISTEN:-8000} --max-heap-table-size=256M'
    serve sh -c "$command" </dev/null
    wait_until 60 native mariadb-admin --no-defaults -h 127.0.0.1 -P "$PORT" -u root ping
    [ "$(slap "$PORT")" -gt 0 ]
    run -0 native mariadb --no-defaults -h 127.0.0.1 -P "$PORT" -u root -N -e 'select count(*) > 3000 from mysqlslap.t1; check table mysqlslap.t1'
    [[ "$output" == 1* ]]
    if [ "${COFRE_ROUNDS:-1}" -gt 1 ]; then
        port=$(free_port)
        native env LISTEN="$port" sh -c "$command" </dev/null >native.out 2>native.err &
        NATIVE=$!
        wait_until 60 native mariadb-admin --no-defaults -h 127.0.0.1 -P "$port" -u root ping
        for round in $(seq "$COFRE_ROUNDS"); do
            for side in native enclave; do
                printf 'mariadb, memory tables, mysqlslap 32 clients\t%s\t%s\n' $side "$(slap "$([ $side = native ] && echo "$port" || echo "$PORT")")" \
                    >>"$BUILD/applications.tsv"
            done
        done
        native_stop
    fi
    stop
}

# Shared by the tests of services beside a container: counters that volumes have their freshness from, and the key server.

MODES="lag strict output"

# service_start COMMAND...: a program that is told what to do on its standard input; what it says first is read from $service_out.
service_start() {
    coproc SERVICE { exec "$@" 3>&-; }
    # bats has descriptors of its own: these are known to stay
    exec {service_in}>&"${SERVICE[1]}" {service_out}<&"${SERVICE[0]}"
    service_pid=$SERVICE_PID
}

service_kill() {
    [ -n "${service_pid-}" ] || return 0
    kill -KILL "$service_pid" 2>/dev/null || true
    wait "$service_pid" 2>/dev/null || true
    exec {service_in}>&- {service_out}<&-
    service_pid=
}

# service_tell COMMAND: what it answers, without the "ok".
service_tell() {
    local line
    echo "$*" >&$service_in
    while read -r -t 10 line <&$service_out && [ "$line" != ok ]; do echo "$line"; done
}

# key_server_start KEY FOLDER OPTION...: the key server with the keys of FOLDER, on $PORT or a free port; sets COFRE_KEY_SERVER, and its
# public key as key_server_key. What it says is in `log`.
key_server_start() {
    local key=$1 folder=$2
    shift 2
    : >address
    "$COFRE" key-server --listen "${PORT:-0}" --key "$key" --offline "$@" "$folder" >address 2>>log 3>&- &
    key_server_pid=$!
    wait_until 10 test -s address
    read -r COFRE_KEY_SERVER key_server_key <address
    export COFRE_KEY_SERVER
}

key_server_stop() {
    [ -n "${key_server_pid-}" ] || return 0
    kill -KILL "$key_server_pid" 2>/dev/null || true
    wait "$key_server_pid" 2>/dev/null || true
    key_server_pid=
}

# What follows takes the file's own: with MODE SCRIPT, in a container with the volume of that name.

# container MODE SCRIPT: in the background, its input from the descriptor $to, its output in the file "out".
container() {
    mkfifo in
    with "$1" "$2" <in >out 2>err &
    container_pid=$!
    exec {to}>in
}

# In each mode: an older state of a volume is not taken for the newest one, which is.
older_volumes_are_refused() {
    for mode in $MODES; do
        run -0 with $mode "echo 1 >/$mode/a; sync /$mode/a"
        cp volumes/$mode/volume old
        run -0 with $mode "echo 2 >/$mode/a; sync /$mode/a"
        cp volumes/$mode/volume new
        cp old volumes/$mode/volume
        run -125 with $mode true
        [[ "$output" == *"rolled back"* ]]
        cp new volumes/$mode/volume
        run -0 --separate-stderr with $mode "cat /$mode/a"
        [ "$output" = 2 ]
    done
    [ "$(service_tell list | wc -l)" = "$(wc -w <<<"$MODES")" ]
}

# In each mode: two containers on copies of one volume, of which the older one ends before it says more.
one_of_two_holds_a_volume() {
    for mode in $MODES; do
        rm -rf in out err volumes other
        container $mode "cd /$mode; echo 1 >a; sync a; sleep 0.2; echo first; read x; echo 2 >a; sync a; sleep 1; echo second; read x"
        wait_until 20 grep -q first out
        cp -r volumes other
        COFRE_VOLUMES=$PWD/other run -0 --separate-stderr with $mode "cat /$mode/a" </dev/null
        [ "$output" = 1 ]
        echo >&$to
        code=0
        wait $container_pid || code=$?
        [ $code = 125 ]
        grep -q "taken over by another container" err
        run ! grep -q second out
        exec {to}>&-
    done
}

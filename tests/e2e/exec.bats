# `cofre exec`: commands in a running container, as far as its policy allows.
load helpers

POLICY="$OPEN_POLICY"'exec: {allow: true}
'
LOOP='trap "exit 0" TERM; echo ready; while :; do read -t 1 x; done'

setup_file() {
    load helpers
    e2e_image busybox-exec busybox "$POLICY" >&2
    e2e_image busybox-exec-some busybox 'command: {entrypoint: [], args_from_host: true}
env: {set: {FROM: policy}, allow: [LANG, X_*]}
exec: {allow: [[echo, one, two], [env, "*"], [id]]}
processes: 8
' >&2
    export LOOP XDG_RUNTIME_DIR=$BATS_FILE_TMPDIR # a list of our own
    start open busybox-exec
    start some busybox-exec-some
}

# start NAME IMAGE: in the background, until it runs; its process goes to a file.
start() {
    "$COFRE" run --softsgx --name "$1" "$E2E/$2" -- sh -c "$LOOP" >"$BATS_FILE_TMPDIR/$1.out" 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/$1.pid"
    wait_until 60 grep -q ready "$BATS_FILE_TMPDIR/$1.out"
}

teardown_file() {
    for file in "$BATS_FILE_TMPDIR"/*.pid; do kill -KILL "$(cat "$file")" 2>/dev/null || true; done
}

setup() { cd "$BATS_TEST_TMPDIR"; }

# x OPTIONS NAME COMMAND...
x() { timeout -k 5 60 "$COFRE" exec "$@" 3>&-; }

# quiet NAME: no command of ours is left in it.
quiet() { [ "$(x "$1" -- sh -c 'echo /proc/[0-9]*' | wc -w)" -eq 2 ]; } # PID 1 and this sh

@test "output, errors, input and exit status" {
    x open -- sh -c 'echo out; echo err >&2; exit 7' >out 2>err && false
    [ $? -eq 7 ] || false
    [ "$(cat out) $(cat err)" = "out err" ]
    head -c 1000000 /dev/urandom >random
    x -i open cat <random | cmp - random
    run -0 x open -- cat </dev/zero # without -i there is no input
    [ -z "$output" ]
    run -137 x open -- sh -c 'kill -KILL $$'
    run -0 x "$(cat "$BATS_FILE_TMPDIR/open.pid")" echo by number
    [ "$output" = "by number" ]
}

@test "who cannot be started is 126 or 127, and says why" {
    run -127 x open nosuch
    [ "$output" = 'cofre: exec in open failed: starting nosuch failed: executable file not found in $PATH' ]
    run -127 x open /nosuch
    [[ "$output" == *"starting /nosuch failed: no such file or directory" ]]
    run -126 x open /etc
    [[ "$output" == *"starting /etc failed: permission denied" ]]
    run -126 x -w /nosuch open true
    [[ "$output" == *"changing to the working directory /nosuch failed: no such file or directory" ]]
    run -126 x -u nobody-at-all open true
    [[ "$output" == *"unable to find user nobody-at-all"* ]]
    quiet open
}

@test "no such container, no command, no terminal: 125" {
    run -125 x other true
    [[ "$output" == *"exec in other failed: no such container runs (cofre ps lists them)" ]]
    run -125 x open
    [[ "$output" == *"a container and a command are wanted"* ]]
    run -125 x -it open true </dev/null
    [[ "$output" == *"the input device is not a terminal"* ]]
}

@test "environment, user and working directory" {
    A=here run -0 x -e A -e B='b c' -u 12:34 -w /tmp open -- sh -c 'echo "$A $B $HOME"; pwd; id -u; id -g'
    [ "$output" = $'here b c /\n/tmp\n12\n34' ]
    run -0 x open -- sh -c 'echo "$HOME $PWD $PATH"'
    [ "$output" = "/root / /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" ]
}

@test "a process of its own session that is nobody's child" {
    run -0 x open -- sh -c 'cut -d " " -f 1,4,5,6 /proc/self/stat; echo $$; true'
    read -r pid parent group session <<<"${lines[0]}"
    [ "$parent $group $session" = "${lines[1]} ${lines[1]} ${lines[1]}" ]
    [ "$pid" != "${lines[1]}" ]
    run -0 x open -- awk '/^PPid/ { print $2 }' /proc/self/status
    [ "$output" = 0 ]
    # its orphans go to PID 1
    x -i open -- sh <<'END'
sh -c 'echo up >/tmp/up; while [ ! -e /tmp/go ]; do sleep 0.1; done; grep PPid /proc/$$/status >/tmp/orphan' </dev/null &
while [ ! -e /tmp/up ]; do sleep 0.05; done
END
    x open touch /tmp/go
    wait_until 30 eval 'x open grep -q . /tmp/orphan'
    run -0 x open cat /tmp/orphan
    [ "$output" = $'PPid:\t1' ]
    wait_until 30 quiet open
}

@test "what the policy does not allow is refused" {
    run -0 x some echo one two
    [ "$output" = "one two" ]
    for arguments in "echo one" "echo one two three" "echo" "sh -c id" "/bin/echo one two"; do
        run -125 x some $arguments
        [[ "$output" == *"the policy does not let the host start \"${arguments%% *}\" with these arguments (exec.allow)" ]]
    done
    run -0 x some id
    run -0 x -e X_1=yes -e LANG=C some env -u HOME
    [ "$(grep -E 'FROM|X_1|LANG|HOME' <<<"$output" | sort)" = $'FROM=policy\nLANG=C\nX_1=yes' ]
    run -125 x -e PATH=/tmp some id
    [[ "$output" == *"does not let the host set environment variable PATH (env.allow)" ]]
    run -125 x -u 0 some id
    [[ "$output" == *"does not let the host choose the user (command.user_from_host)" ]]
    run -125 x -w / some id
    [[ "$output" == *"does not let the host choose the working directory (command.workdir_from_host)" ]]
}

@test "without exec.allow nothing is started, nor listened for" {
    e2e_image busybox busybox "$OPEN_POLICY" >&2
    start closed busybox
    run -125 x closed true
    [ "$output" = "cofre: exec in closed failed: its policy lets the host start no commands (exec.allow)" ]
    [ ! -e "$XDG_RUNTIME_DIR/cofre/.closed" ]
    kill -TERM "$(cat "$BATS_FILE_TMPDIR/closed.pid")"
}

@test "inspect says what may be started, and by whom" {
    run -0 "$COFRE" inspect --json "$E2E/busybox-exec-some"
    [ "$(jq -c .policy.exec.allow <<<"$output")" = '[["echo","one","two"],["env","*"],["id"]]' ]
    [[ "$(jq -r .policy.exec.started_by <<<"$output")" == *"host, which is not trusted"* ]]
    run -0 "$COFRE" inspect --json "$E2E/busybox-exec"
    [ "$(jq -c .policy.exec.allow <<<"$output")" = true ]
    printf 'exec: {allow: [[]]}\n' >policy.yaml
    run "$COFRE" convert --policy policy.yaml --key "$(e2e_key)" "$("$TOP/tools/make-image" busybox 2>/dev/null)" out
    [[ "$output" == *"policy.yaml:1: exec.allow: each command is a list of its arguments"* ]]
}

@test "a terminal: size, keys, its end" {
    run -0 timeout -k 5 60 python3 "$BATS_TEST_DIRNAME/exec-terminal" "$COFRE" open
    [ "$output" = ok ]
    wait_until 30 quiet open
}

@test "several at once" {
    for i in 1 2 3 4 5; do x -i open -- sh -c "read x; echo \$x-$i" <<<"in" >out.$i & done
    wait
    [ "$(cat out.*)" = $'in-1\nin-2\nin-3\nin-4\nin-5' ]
    quiet open
}

@test "cofre exec is killed: its command's streams end" {
    mkfifo hold
    "$COFRE" exec -i open -- sh -c 'echo up; cat >/dev/null; echo eof >/tmp/killed' <>hold >out 3>&- &
    wait_until 60 grep -q up out
    kill -KILL $!
    wait_until 60 eval 'x open grep -q eof /tmp/killed'
    "$COFRE" exec open -- sh -c 'trap "echo pipe >/tmp/killed" PIPE; while [ ! -s /tmp/stop ]; do echo x || break; done; echo done >>/tmp/killed' >out 3>&- &
    wait_until 60 grep -q x out
    kill -KILL $!
    wait_until 60 eval 'x open grep -q done /tmp/killed'
    wait_until 60 quiet open
}

@test "processes of the policy are a limit for it, too" {
    for i in 1 2 3 4 5 6 7; do x -i some env </dev/null >/dev/null & done
    wait
    run -0 x some echo one two
}

@test "the container ends: so does the command" {
    start ends busybox-exec
    x -i ends -- sh -c 'echo up; exec cat' <>/dev/zero >out 2>err &
    command=$!
    wait_until 60 grep -aq up out
    kill -TERM "$(cat "$BATS_FILE_TMPDIR/ends.pid")"
    wait "$command" && false
    [ $? -eq 137 ] || false
    [[ "$(cat err)" == *"exec in ends failed: the container has ended" ]]
    run -125 x ends true
    [ ! -e "$XDG_RUNTIME_DIR/cofre/.ends" ]
}

@test "nonsense on the socket ends nothing but its connection" {
    run -0 timeout -k 5 60 python3 "$BATS_TEST_DIRNAME/exec-nonsense" "$XDG_RUNTIME_DIR/cofre/.open"
    [ "$output" = ok ]
    run -0 x open echo alive
    [ "$output" = alive ]
    wait_until 30 quiet open
    [ "$(stat -c %a "$XDG_RUNTIME_DIR/cofre/.open")" = 600 ]
}

@test "without EDMM and with one vCPU; while PID 1 computes" {
    e2e_image busybox-exec-sgx1 busybox "$POLICY"'edmm: false
memory: 64M
' >&2
    "$COFRE" run --softsgx --vcpus 1 --name busy "$E2E/busybox-exec-sgx1" -- sh -c 'while :; do :; done' >/dev/null 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/busy.pid"
    wait_until 60 eval '"$COFRE" ps -q | grep -q busy'
    run -3 x -i busy -- sh -c 'read x; echo $x; exit 3' <<<hello
    [ "$output" = hello ]
    kill -KILL "$(cat "$BATS_FILE_TMPDIR/busy.pid")"
}

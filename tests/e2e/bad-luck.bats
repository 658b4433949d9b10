# Bad luck in processes: the host kills members, changes the bytes they send each other, or takes all of them away. What a
# program sees is what Linux would show of a process killed by SIGKILL, or the container stops and says why. Never a wrong
# result, never a hang, nothing left behind.
load helpers

setup_file() {
    load helpers
    e2e_image busybox busybox "$OPEN_POLICY" >&2
}

setup() {
    IMAGE=$BATS_TEST_TMPDIR/image # a name that only processes of this test have
    ln -s "$E2E/busybox" "$IMAGE"
    SHM=$(ls /dev/shm)
}

teardown() {
    if [ -n "${PID-}" ]; then kill -KILL "$PID" 2>/dev/null || true; fi
    wait_until 5 nobody_left
    [ "$(ls /dev/shm)" = "$SHM" ]
}
nobody_left() { ! pgrep -f "$IMAGE"; }

# in_container SCRIPT ARGS...: in the background; output in $OUT. 124 or 137 from finish: it hung.
in_container() {
    OUT=$BATS_TEST_TMPDIR/out
    timeout -k 1 40 "$COFRE" run --softsgx "$IMAGE" -- sh -c "$@" >"$OUT" 2>&1 3>&- &
    PID=$!
    wait_until 10 grep -q ready "$OUT"
}
finish() {
    STATUS=0
    wait "$PID" || STATUS=$?
    PID=
    echo "# status $STATUS: $(grep -v '^Killed' "$OUT" | tail -n 3)"
}

# Pipelines in a loop: each gives the right result or a status that says that it does not.
WORK='
set -o pipefail
echo ready
n=0 good=0 killed=0
while [ $n -lt $1 ]; do
    n=$((n + 1))
    if x=$(echo line $n | sed s/line/word/ | cat); then
        [ "$x" = "word $n" ] || { echo "wrong: $n $x"; exit 9; }
        good=$((good + 1))
    else
        killed=$((killed + 1))
    fi
done
echo "good $good killed $killed of $n"
'

# The same in shells of enclaves of their own, with memory that takes a while to copy.
NESTED='
echo ready
n=0 good=0 killed=0
while [ $n -lt $1 ]; do
    n=$((n + 1))
    sh -c "set -o pipefail
        big=\$(head -c 1000000 /dev/zero | tr \"\\0\" x)
        [ \${#big} -eq 1000000 ] || exit 3
        for i in 1 2; do x=\$(echo \${#big} | cat) && { [ \$x = 1000000 ] || exit 9; }; done"
    case $? in
    0) good=$((good + 1)) ;;
    9) echo "wrong: $n"; exit 9 ;;
    *) killed=$((killed + 1)) ;;
    esac
done
echo "good $good killed $killed of $n"
'

@test "the host kills processes at random: their parents see it, the container lives" {
    for seed in 1 2; do
        in_container "$WORK" sh 40
        count=$("$TOP/tests/e2e/kill-members" kill "$PID" $seed 3)
        finish
        [ "$STATUS" -eq 0 ]
        [ "$count" -gt 0 ]
        grep -Eq '^good [1-9][0-9]* killed [0-9]+ of 40$' "$OUT"
    done
}

@test "the host kills processes that send themselves, or are being sent" {
    in_container "$NESTED" sh 48
    count=$("$TOP/tests/e2e/kill-members" kill "$PID" 3 2)
    finish
    [ "$STATUS" -eq 0 ]
    [ "$count" -gt 0 ]
    grep -Eq '^good [1-9][0-9]* killed [0-9]+ of 48$' "$OUT"
}

@test "the host interrupts vCPUs at any moment, also while they boot: nothing is to be seen of it" {
    in_container "$WORK" sh 60
    count=$("$TOP/tests/e2e/kill-members" tick "$PID" 7 4)
    finish
    [ "$STATUS" -eq 0 ]
    [ "$count" -gt 1000 ]
    grep -qx 'good 60 killed 0 of 60' "$OUT"
}

@test "a process killed by the host has died of SIGKILL" {
    in_container 'sleep 30 & echo ready; wait $!; echo died of $?; echo still here | cat'
    sleep 0.5
    "$TOP/tests/e2e/kill-members" all "$PID"
    finish
    [ "$STATUS" -eq 0 ]
    grep -qx 'died of 137' "$OUT"
    grep -qx 'still here' "$OUT"
}

# Those that end, and are nobody again, among them: that takes a part of a millisecond.
@test "the host kills processes so often that many die: the container lives" {
    in_container "$WORK" sh 300
    count=$("$TOP/tests/e2e/kill-members" often "$PID" 8 3)
    finish
    [ "$STATUS" -eq 0 ]
    [ "$count" -gt 50 ]
    grep -Eq '^good [1-9][0-9]* killed [1-9][0-9]* of 300$' "$OUT"
}

@test "the host kills enclaves that have been processes, and wait to be others: nothing is to be seen of it" {
    OUT=$BATS_TEST_TMPDIR/out
    mkfifo "$BATS_TEST_TMPDIR/in"
    timeout -k 1 40 "$COFRE" run --softsgx -i "$IMAGE" -- sh -c '
        while read turn; do
            for i in 1 2 3 4 5 6; do x=$(echo $i | cat); [ "$x" = $i ] || echo wrong; done
            echo turn $turn
        done' <"$BATS_TEST_TMPDIR/in" >"$OUT" 2>&1 3>&- &
    PID=$!
    exec 5>"$BATS_TEST_TMPDIR/in"
    for turn in 1 2 3; do
        echo $turn >&5
        wait_until 10 grep -qx "turn $turn" "$OUT"
        sleep 0.2
        "$TOP/tests/e2e/kill-members" all "$PID"
    done
    echo 4 >&5
    exec 5>&-
    finish
    [ "$STATUS" -eq 0 ]
    ! grep -q 'wrong\|Killed' "$OUT"
    grep -qx 'turn 4' "$OUT"
}

@test "the host changes what enclaves send each other: members die, or the container stops with a message" {
    for seed in 5 6; do
        in_container "$WORK" sh 40
        count=$("$TOP/tests/e2e/kill-members" corrupt "$PID" $seed 3)
        finish
        [ "$count" -gt 0 ]
        [ "$STATUS" -ne 124 ]
        [ "$STATUS" -ne 137 ]
        ! grep -q '^wrong' "$OUT"
        grep -q 'the host lied\|the host broke its contract' "$OUT"
        [ "$STATUS" -ne 0 ] || grep -q '^good [1-9][0-9]* killed' "$OUT"
    done
}

@test "without the process that members come from the container stops with a message" {
    in_container 'echo ready; sleep 30 | cat; echo wrong'
    "$TOP/tests/e2e/kill-members" zygote "$PID"
    finish
    [ "$STATUS" -eq 125 ]
    grep -q 'the processes of the container were killed' "$OUT"
    ! grep -q '^wrong' "$OUT"
}

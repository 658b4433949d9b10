# Processes until something runs out, and at random for a while: the container lives, and afterwards uses what it used before.
# COFRE_STRESS_SECONDS=120 for longer (default 6; `make stress`).
load helpers

POLICY='diagnostics: true
memory: 256M
processes: 20
command: {args_from_host: true}
'

setup_file() {
    load helpers
    e2e_image stress stress "$POLICY" >&2
    e2e_image busybox busybox "$OPEN_POLICY" >&2
}

stress() { timeout -k 1 60 "$COFRE" run --softsgx "$E2E/stress" -- "$@"; }

@test "a fork bomb meets the policy's limit: EAGAIN, and the container lives" {
    run -0 --separate-stderr stress bomb
    [ "$output" = $'while it goes on: EAGAIN\nafterwards: good' ]
}

@test "a process that uses more memory than the policy allows is killed and named, the rest lives" {
    run -0 --separate-stderr stress memory 0x10000000
    [ "$output" = $'killed by 9\nkilled by 9\nafterwards: good' ]
    [[ "$stderr" == *"out of memory: "*" pages are committed, which is all the policy allows; process 2 is killed"* ]]
}

@test "a process for which the host has no enclave memory is killed and named, the rest lives" {
    COFRE_SOFTSGX_EPC=$((190 << 20)) run -0 --separate-stderr stress memory 0x10000000
    [ "$output" = $'killed by 9\nkilled by 9\nafterwards: good' ]
    [[ "$stderr" == *"out of memory: "*"the host has no more enclave memory; process 2 is killed"* ]]
}

@test "a file system in memory that is full is ENOSPC, for PID 1 and for others, and what is removed can be used again" {
    e2e_image busybox-small busybox "$OPEN_POLICY"'kernel_heap: 64M
' >&2
    run -1 --separate-stderr timeout -k 1 60 "$COFRE" run --softsgx "$E2E/busybox-small" -- sh -c '
        for n in 1 2 3; do
            busybox dd if=/dev/zero of=/tmp/f bs=1M 2>&1 | grep -o "No space left on device"
            size=$(stat -c %s /tmp/f); [ "$size" -gt 45000000 ] || echo only "$size"
            rm /tmp/f
        done
        exec dd if=/dev/zero of=/tmp/f bs=1M'
    [ "$output" = "No space left on device
No space left on device
No space left on device" ]
    [[ "$stderr" == *"No space left on device"* ]]
}

@test "statistics have what every process counted, also one that the end of the container kills" {
    run -0 --separate-stderr timeout -k 1 60 "$COFRE" run --softsgx --stats=json:"$BATS_TEST_TMPDIR/stats" "$E2E/stress" -- sleep 6
    jq -c '[.hostcalls.PARK, .eexit, .syscalls.clock_nanosleep]' "$BATS_TEST_TMPDIR/stats"
    jq -e '.hostcalls.PARK >= 6 * 200 and .hostcalls.PARK < 6 * 200 * 3 / 2' "$BATS_TEST_TMPDIR/stats"
    jq -e '.syscalls.clock_nanosleep >= 5 * 200 and .syscalls.clock_nanosleep <= 6 * 200' "$BATS_TEST_TMPDIR/stats"
}

@test "hundreds of processes one after the other need few enclaves, and no enclave is so many" {
    run -0 --separate-stderr timeout -k 1 60 "$COFRE" run --softsgx --stats=json:"$BATS_TEST_TMPDIR/stats" "$E2E/busybox" -- sh -c '
        n=0
        while [ $n -lt 300 ]; do n=$((n + 1)); x=$(busybox head -n 1 /proc/self/comm); [ "$x" = busybox ] || echo wrong $n; done; echo $n'
    [ "$output" = 300 ]
    echo "# $(jq -c '.hostcalls.SPAWN, .hostcalls.EXIT' "$BATS_TEST_TMPDIR/stats")"
    jq -e '.hostcalls.SPAWN > 300 / 64 and .hostcalls.SPAWN < 30' "$BATS_TEST_TMPDIR/stats" # 64: kernel/remote/renew.c
}

@test "the host kills processes at both ends of pipes: the others see an end, and other pipes lose nothing" {
    local out=$BATS_TEST_TMPDIR/pipes
    mkfifo "$BATS_TEST_TMPDIR/killed"
    timeout -k 1 60 "$COFRE" run --softsgx -i "$E2E/busybox" -- sh -c '
        for n in 1 2 3 4 5 6 7 8; do busybox dd if=/dev/zero bs=64k count=3000 2>/dev/null | busybox wc -c; done
        read -r killed
        echo afterwards $(busybox dd if=/dev/zero bs=64k count=2000 2>/dev/null | busybox wc -c)' \
        <"$BATS_TEST_TMPDIR/killed" >"$out" 2>/dev/null 3>&- &
    PID=$!
    exec 5>"$BATS_TEST_TMPDIR/killed"
    sleep 0.3
    echo "# killed: $("$TOP/tests/e2e/kill-members" kill "$PID" "${COFRE_SEED:-$RANDOM}" 1)"
    echo killed >&5
    exec 5>&-
    wait "$PID"
    PID=
    sed 's/^/# /' "$out"
    [ "$(tail -n 1 "$out")" = "afterwards 131072000" ]
    [ "$(head -n -1 "$out" | grep -cvxE '[0-9]+')" -eq 0 ]
    [ "$(head -n -1 "$out" | awk '$1 > 196608000' | wc -l)" -eq 0 ]
}

# wild SECONDS SEED HOST: the container goes wild that long; HOST 1: and the host kills members of it at random.
wild() {
    local rounds=$((ROUNDS += 1))
    echo "$1 $2 $3" >&5
    [ "$3" -eq 0 ] || "$TOP/tests/e2e/kill-members" kill "$PID" "$2" "$1" >/dev/null
    wait_until $(($1 + 40)) sh -c "[ \$(grep -c '^done' '$OUT') -ge $rounds ]"
    grep -E '^(wrong|done)' "$OUT" | tail -n 2 | sed 's/^/# /'
}

nobody_left() { ! pgrep -f "$IMAGE"; }

@test "random processes, some killed by the host, leave nothing behind" {
    local seconds=${COFRE_STRESS_SECONDS:-6} seed=${COFRE_SEED:-$RANDOM} before after m d z k s y each
    OUT=$BATS_TEST_TMPDIR/out ROUNDS=0
    IMAGE=$BATS_TEST_TMPDIR/image # a name that only processes of this test have
    ln -s "$E2E/stress" "$IMAGE"
    echo "# seed $seed"
    mkfifo "$BATS_TEST_TMPDIR/in"
    "$COFRE" run --softsgx -i "$IMAGE" <"$BATS_TEST_TMPDIR/in" >"$OUT" 2>&1 3>&- &
    PID=$!
    exec 5>"$BATS_TEST_TMPDIR/in"
    wild 2 "$seed" 0
    before="$("$TOP/tests/e2e/container-usage" "$PID") $(grep -o 'memory=.*' "$OUT" | sed 's/^/own_/; s/ / own_/')"
    for ((each = seconds > 20 ? 10 : seconds / 2; seconds > 0; seconds -= 2 * each)); do
        wild "$each" $((seed += 1)) 0
        wild "$each" $((seed += 1)) 1
    done
    wild 1 $((seed + 1)) 0 # so that as many are kept ready as before
    after="$("$TOP/tests/e2e/container-usage" "$PID") $(tail -n 1 "$OUT" | grep -o 'memory=.*' | sed 's/^/own_/; s/ / own_/')"
    exec 5>&-
    wait "$PID"
    PID=
    echo "# before: $before"
    echo "# after:  $after"
    ! grep -q '^wrong' "$OUT"
    [ "$(grep -c '^done .* wrong=0 processes=1 descriptors=4 ' "$OUT")" -eq "$ROUNDS" ]
    eval "$before"
    m=$members d=$descriptors z=$zygote_descriptors k=$memory s=$shared y=$zygote_memory p=$own_memory h=$own_heap
    eval "$after"
    [ "$members $descriptors $zygote_descriptors $own_memory" = "$m $d $z $p" ]
    # KiB, however long it took: an enclave that stays would be hundreds, and thousands of processes have been. A page of the kernel's heap is
    # given back when nothing at all is in it. The rings of as many streams as were in use at once stay, up to 256 each. What
    # the kernel had touched of its memory at once stays with the host, in steps of 64.
    [ $((own_heap - h)) -le 96 ]
    [ $((memory - k)) -le 512 ]
    [ $((shared - s)) -le 2048 ]
    [ $((zygote_memory - y)) -le 32 ]
    wait_until 5 nobody_left
}

teardown() {
    [ -z "${PID-}" ] || { kill -KILL "$PID" && wait "$PID"; } || true
}

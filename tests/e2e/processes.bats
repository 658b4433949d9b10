# Processes until something runs out, and at random for a while: the container lives, and afterwards uses what it used before.
# COFRE_STRESS_SECONDS=60 for longer (default 5).
load helpers

POLICY='diagnostics: true
memory: 256M
processes: 20
command: {args_from_host: true}
'

setup_file() {
    load helpers
    e2e_image stress stress "$POLICY" >&2
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

# usage: what the container uses when it is idle, after its N-th line "done".
usage() { # usage N
    wait_until $((SECONDS_EACH + 40)) sh -c "[ \$(grep -c '^done' $OUT) -ge $1 ]"
    tail -n 1 "$OUT" >&2
    "$TOP/tests/e2e/container-usage" "$PID"
}

@test "random processes leave nothing behind" {
    SECONDS_EACH=${COFRE_STRESS_SECONDS:-5}
    OUT=$BATS_TEST_TMPDIR/out
    seed=${COFRE_SEED:-$RANDOM}
    echo "# seed $seed"
    mkfifo "$BATS_TEST_TMPDIR/in"
    "$COFRE" run --softsgx -i "$E2E/stress" <"$BATS_TEST_TMPDIR/in" >"$OUT" 2>&1 3>&- &
    PID=$!
    exec 5>"$BATS_TEST_TMPDIR/in"
    echo "1.5 $seed" >&5
    before=$(usage 1)
    echo "$SECONDS_EACH $((seed + 1))" >&5
    after=$(usage 2)
    exec 5>&-
    wait "$PID"
    echo "# before: $before"
    echo "# after:  $after"
    ! grep -q '^wrong' "$OUT"
    [ "$(grep -c '^done .* wrong=0 processes=1 descriptors=4$' "$OUT")" -eq 2 ]
    eval "$before"
    m=$members d=$descriptors z=$zygote_descriptors k=$memory s=$shared y=$zygote_memory
    eval "$after"
    [ "$members $descriptors $zygote_descriptors" = "$m $d $z" ]
    # KiB: an enclave that stays would be hundreds. The rings of as many streams as were in use at once stay, up to 256 each.
    [ $((memory - k)) -le 256 ] && [ $((shared - s)) -le 2048 ] && [ $((zygote_memory - y)) -le 256 ]
}

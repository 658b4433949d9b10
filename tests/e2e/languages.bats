#!/usr/bin/env bats
# Shells and interpreters from Debian at work: what the programs of tests/applications print must be the same natively, in the
# same root, and in an enclave.
load helpers

setup_file() {
    [ "$(id -u)" = 0 ] || skip "chroot needs root"
    application_image languages
}

PROGRAMS=$BATS_TEST_DIRNAME/../applications

@test "bash, coreutils, findutils, grep, sed, awk, tar, gzip: 200 lines of script" {
    same "shell script" "$PROGRAMS/shell.sh" bash -c 'cat >/tmp/s && exec bash /tmp/s /tmp/work 2>&1'
}

@test "CPython: threads, processes, multiprocessing, asyncio, TLS, SQL" {
    same "python: programs" "$PROGRAMS/python.py" python3 -
}

@test "Perl" {
    same "perl: programs" "$PROGRAMS/perl.pl" perl -
}

@test "SQLite: tables, transactions, full text, integrity" {
    same "sqlite: SQL script" "$PROGRAMS/sqlite.sql" sqlite3 /tmp/db
}

@test "open files: a limit as after login" {
    run -0 --separate-stderr enclave bash -c 'ulimit -Sn; ulimit -Hn'
    [ "$output" = $'1024\n1048576' ]
}

#!/usr/bin/env bats
# Runtimes and tools whose images or jobs are too large for every test run: make test-applications.
load ../e2e/helpers

setup() {
    [ "$(id -u)" = 0 ] || skip "chroot needs root"
}

here=$BATS_TEST_DIRNAME

@test "python: start and 30 imports" {
    application_image languages
    same "python -c pass" /dev/null python3 -c 'print()'
    same "python, 30 imports" /dev/null python3 -c 'import asyncio, json, ssl, sqlite3, http.server, email, urllib.request, \
xml.dom.minidom, logging.config, unittest, decimal, fractions, csv, configparser, argparse, tarfile, zipfile, multiprocessing, ctypes, datetime, \
difflib, doctest, pdb, pickle, random, statistics, tempfile, typing, uuid, xmlrpc.client; print()'
    same "python: computing" /dev/null python3 -c 'd = {}
for i in range(3000000): d[i % 1000] = d.get(i % 1000, 0) + i * i % 7
print(sum(d.values()))'
}

@test "ps, top, vmstat, lsof, ipcs and their like" {
    application_image tools
    same "procps, lsof, ipcs" "$here/tools.sh" bash -s
}

@test "Ruby" {
    application_image languages
    same "ruby: programs" "$here/ruby.rb" ruby -
}

@test "ripgrep (Rust)" {
    application_image languages
    same "ripgrep" /dev/null bash -c 'cd /usr && rg --sort path -c "import (os|sys)" lib/python3 lib/python3.11 | sha256sum
        rg -u -c GLIBC_2.3 bin --sort path -a | sha256sum; rg nothing-like-this lib/python3.11; [ $? = 1 ]'
}

@test "Node.js 20: HTTP, workers, child processes, cluster, fs.watch" {
    application_image node
    same "node -e 0" /dev/null node -e 'console.log(0)'
    same "node: programs" "$here/work.js" sh -c 'cat >/tmp/work.js && exec node /tmp/work.js'
    same "node: npm" "$here/npm.sh" sh -c 'cat >/tmp/npm.sh && exec sh /tmp/npm.sh'
    same "node: computing" /dev/null node -e 'let s = 0; for (let i = 0; i < 3e8; i++) s = (s * 31 + i) | 0; console.log(s)'
}

@test "OpenJDK 17 on default flags: G1, JIT, threads, faults, processes, HTTP" {
    application_image java
    same "java HelloWorld (source)" /dev/null sh -c 'echo "class H { public static void main(String[] a) { System.out.println(1); } }" >/tmp/H.java
        exec java /tmp/H.java'
    same "java: programs" "$here/Work.java" sh -c 'cat >/tmp/Work.java && exec java /tmp/Work.java'
}

@test "OpenJDK 17: jps, jcmd, jstack, jinfo, jstat, jmap at a running program" {
    application_image java
    same "java: jcmd and its like" "$here/jcmd.sh" bash -c 'cat >/tmp/jcmd.sh && exec bash /tmp/jcmd.sh'
}

@test "OpenJDK 17: a heap of 16 GiB reserved" {
    application_image java
    same "java -Xmx16g" "$here/Work.java" sh -c 'cat >/tmp/Work.java && exec java -Xmx16g -XX:+UseG1GC /tmp/Work.java'
}

@test "gcc and make -j2: twenty files, equal objects" {
    application_image compiler
    same "gcc, make -j2" "$here/compile.sh" bash -s /tmp/work
}

@test "MariaDB on default settings: bulk insert, transactions, recovery after SIGKILL, CHECK TABLE" {
    # Its buffer pool reserves 8 TiB of addresses.
    APPLICATION_POLICY+='enclave_size: 16T
'
    application_image mariadb
    same "mariadb: SQL, crash, recovery" "$here/mariadb.sh" bash -s
}

@test "PostgreSQL: SQL, pgbench with 8 clients, dump and restore, a backend killed by SIGKILL, amcheck" {
    application_image postgresql
    LIMIT=300 same "postgresql: SQL, pgbench, crash, recovery" "$here/postgresql.sh" bash -c 'cat >/tmp/s; install -d -o postgres /tmp/pg
        exec setpriv --reuid postgres --regid postgres --clear-groups env HOME=/tmp bash /tmp/s'
}

@test "numpy: OpenBLAS with 4 threads, processes" {
    application_image numpy
    same "numpy" "$here/numpy.py" sh -c 'export OPENBLAS_NUM_THREADS=4; cat >/tmp/n.py && exec python3 /tmp/n.py'
}

@test "Go: minify, Caddy under parallel clients" {
    application_image go
    same "go: minify, caddy" "$here/go.sh" bash -c 'cat >/tmp/go.sh && exec bash /tmp/go.sh'
}

@test "musl: dynamic, static, and a large program in Rust" {
    application_image musl
    same "musl: programs" /dev/null sh -c 'work && work.static'
    same "musl: biome (Rust)" "$here/work.js" sh -c 'mkdir /tmp/b && cd /tmp/b && cat >work.js && for i in $(seq 40); do cp work.js $i.js; done &&
        biome format --write . 2>/tmp/err | grep -v "^Formatted .* in" ; sha256sum work.js 40.js; echo "let  x=[1,2 ,3]" | biome format --stdin-file-path=a.js'
}

# Programs in Go: minify over many files, and a web server under a client that works in parallel.
port=$((20000 + RANDOM % 10000)) # natively the machine's
mkdir -p /tmp/site && cd /tmp/site || exit 1
for i in $(seq 50); do
    printf '<html>\n <body>\n  <p  class = "a">  page %s </p>\n </body>\n</html>\n' "$i" >"$i.html"
    printf 'function f%s ( a , b ) {\n  return a + b ; // sum\n}\n' "$i" >"$i.js"
done
head -c 300000 /dev/zero | tr '\0' x >big.txt
minify -r -o /tmp/small . >/dev/null 2>&1
echo "minify $?"
cat /tmp/small/*.html /tmp/small/*.js | sha256sum
cat /tmp/small/7.js && echo
cat >/tmp/Caddyfile <<END
{
    admin off
    auto_https off
}
http://127.0.0.1:$port {
    root * /tmp/site
    file_server
    encode gzip
    respond /hello "hello {query.n}"
}
END
export HOME=/tmp XDG_DATA_HOME=/tmp XDG_CONFIG_HOME=/tmp
caddy run --config /tmp/Caddyfile --adapter caddyfile >/tmp/log 2>&1 &
server=$!
get() { # over bash's own sockets
    exec 3<>/dev/tcp/127.0.0.1/$port && printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1:%s\r\n\r\n' "$1" $port >&3 && sed '1,/^\r*$/d' <&3 || return 1
    exec 3<&- 3>&-
}
until (get /hello) >/dev/null 2>&1; do sleep 0.1; done
for i in $(seq 8); do (for j in $(seq 5); do get "/hello?n=$i.$j"; echo; done >"/tmp/got.$i"; get /big.txt | wc -c >>"/tmp/got.$i") & clients="${clients-} $!"; done
# shellcheck disable=SC2086
wait $clients
cat /tmp/got.*
get /7.html
kill -TERM $server
wait $server
echo "ended $?"

# Two HTTP servers and haproxy in front of them.
cat >/tmp/haproxy.cfg <<X
global
  maxconn 200
defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
frontend f
  bind *:8000
  http-request set-header X-Through "through haproxy"
  default_backend b
backend b
  balance roundrobin
  server s1 127.0.0.1:9001 check inter 500
  server s2 127.0.0.1:9002 check inter 500
X
cat >/tmp/backend.py <<X
import http.server,sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version="HTTP/1.1"
    def do_GET(s):
        b=(sys.argv[1]+" "+str(s.headers.get("X-Through"))).encode()
        s.send_response(200); s.send_header("Content-Length",str(len(b))); s.end_headers(); s.wfile.write(b)
    def log_message(s,*a): pass
http.server.ThreadingHTTPServer(("127.0.0.1",int(sys.argv[1])),H).serve_forever()
X
python3 /tmp/backend.py 9001 &
python3 /tmp/backend.py 9002 &
exec haproxy -db -f /tmp/haproxy.cfg

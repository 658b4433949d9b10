// A MarbleRun coordinator's monotonic counters, for tests: POST /api/v2/monotonic-counter as version 1.9 serves it, over
// the same TLS server, Go's. Written from the interface's description.
//
//	marble-coordinator --dir DIR [--port N]
//
// On first use it makes DIR/root.pem (the coordinator's root certificate), and as PEM with their keys the marbles
// marble.pem, expired.pem, foreign.pem (of another root), mismatch.pem (with another's key), and rsa.pem (which is none);
// marble.key is the key of marble.pem as the key server has it, marble-chain.pem its certificates alone. The counters are
// in DIR/counters. Says "PORT" on standard output when it listens. Commands on standard input, a line each, answered "ok":
//
//	run        all is well again              hang        nothing is answered any more (run: those connections end)
//	delay MS   each answer comes so late      lie         answers carry a value one too low
//	forge      bytes are changed on the way   drop        the connection ends instead of the next answer; it was done
//	status N   each answer is HTTP status N   body TEXT   each answer has this body       raw TEXT   ... is this, quoted as in Go
//	impostor   a marble's certificate is      other       another root's is               tls13      nothing older than TLS 1.3
//	list       each counter: "value key"      set VALUE   all counters stand there now    stats      "requests handshakes"
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	dir      = flag.String("dir", "", "where keys, certificates and counters are")
	port     = flag.Int("port", 0, "0: any")
	typeOID  = asn1.ObjectIdentifier{1, 3, 9903, 2, 1}
	uuidForm = regexp.MustCompile("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

	lock       sync.Mutex
	counters   = map[string]uint64{}
	requests   int
	handshakes int
	// how it misbehaves
	delay                    time.Duration
	hang, lie, forge, only13 bool
	drop                     int // answers until one is dropped; 0: none is
	status                   int
	body, raw                string
	shown                    *tls.Certificate

	root, marble, other tls.Certificate
	marbleRoots         = x509.NewCertPool()
)

func need(err error) {
	if err != nil {
		log.Fatal("marble-coordinator: ", err)
	}
}

// ---- certificates ----

type authority struct {
	der  []byte
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	need(err)
	return n
}

func issue(template *x509.Certificate, key *ecdsa.PrivateKey, by *authority) *authority {
	template.SerialNumber = serial()
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.BasicConstraintsValid = true
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	template.DNSNames = []string{"localhost"}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now(), time.Now().Add(1<<63-1)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	need(err)
	cert, err := x509.ParseCertificate(der)
	need(err)
	return &authority{der, cert, key}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	need(err)
	return key
}

func newAuthority(name string, by *authority) *authority {
	return issue(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}, newKey(), by)
}

func newMarble(by *authority, from, to time.Time) *authority {
	value, err := asn1.Marshal("volume")
	need(err)
	return issue(&x509.Certificate{Subject: pkix.Name{CommonName: "f3a1c3f0-9d5e-4c1f-8a51-6b1d0e9f7a22"},
		NotBefore: from, NotAfter: to, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: typeOID, Value: value}}}, newKey(), by)
}

func keyPEM(key any) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	need(err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func write(name string, parts ...[]byte) {
	var all []byte
	for _, part := range parts {
		all = append(all, part...)
	}
	need(os.WriteFile(filepath.Join(*dir, name), all, 0o600))
}

func certPEM(a *authority) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.der})
}

func makeFiles() {
	now := time.Now()
	top := newAuthority("MarbleRun Coordinator", nil)
	middle := newAuthority("MarbleRun Coordinator - Intermediate CA", top)
	foreign := newAuthority("MarbleRun Coordinator", nil)
	good := newMarble(middle, time.Time{}, time.Time{})
	old := newMarble(middle, now.Add(-48*time.Hour), now.Add(-24*time.Hour))
	alien := newMarble(foreign, time.Time{}, time.Time{})
	wrong, err := rsa.GenerateKey(rand.Reader, 2048)
	need(err)
	scalar := make([]byte, 48)
	write("root.pem", certPEM(top))
	write("root.key", keyPEM(top.key))
	write("middle.pem", certPEM(middle))
	write("other.pem", certPEM(foreign), keyPEM(foreign.key))
	write("marble.pem", certPEM(good), certPEM(middle), keyPEM(good.key))
	write("marble-chain.pem", certPEM(good), certPEM(middle))
	write("marble.key", good.key.D.FillBytes(scalar))
	write("expired.pem", certPEM(old), certPEM(middle), keyPEM(old.key))
	write("foreign.pem", certPEM(alien), certPEM(foreign), keyPEM(alien.key))
	write("mismatch.pem", certPEM(good), certPEM(middle), keyPEM(old.key))
	write("rsa.pem", certPEM(good), certPEM(middle), keyPEM(wrong))
}

func load(cert, key string) tls.Certificate {
	pair, err := tls.LoadX509KeyPair(filepath.Join(*dir, cert), filepath.Join(*dir, key))
	need(err)
	return pair
}

// ---- counters ----

func save() {
	text, err := json.Marshal(counters)
	need(err)
	part := filepath.Join(*dir, "counters.part")
	need(os.WriteFile(part, text, 0o600))
	need(os.Rename(part, filepath.Join(*dir, "counters")))
}

func raise(key string, value uint64) uint64 {
	previous := counters[key]
	if value > previous {
		counters[key] = value
		save()
	}
	return previous
}

// A marble by its certificate: its type and UUID.
func authenticate(state *tls.ConnectionState) (string, string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", "", fmt.Errorf("no client certificate")
	}
	leaf := state.PeerCertificates[0]
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: marbleRoots, KeyUsages: usages}); err != nil {
		return "", "", err
	}
	if !uuidForm.MatchString(leaf.Subject.CommonName) {
		return "", "", fmt.Errorf("no UUID")
	}
	for _, extension := range leaf.Extensions {
		var name string
		if extension.Id.Equal(typeOID) {
			_, err := asn1.Unmarshal(extension.Value, &name)
			return name, leaf.Subject.CommonName, err
		}
	}
	return "", "", fmt.Errorf("no marble type")
}

func answer(w http.ResponseWriter, code int, word string, data any, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	envelope := map[string]any{"status": word, "data": data}
	if message != "" {
		envelope["message"] = message
	}
	_ = json.NewEncoder(w).Encode(envelope)
}

func cut(w http.ResponseWriter, text string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

func serve(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Name  string
		Value uint64
	}
	if r.Method != http.MethodPost || r.URL.Path != "/api/v2/monotonic-counter" {
		answer(w, http.StatusMethodNotAllowed, "error", nil, "")
		return
	}
	kind, uuid, err := authenticate(r.TLS)
	if err != nil {
		answer(w, http.StatusUnauthorized, "fail", nil, err.Error())
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || request.Name == "" {
		answer(w, http.StatusBadRequest, "fail", nil, "bad request")
		return
	}
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	lock.Lock()
	requests++
	previous := raise(encode(kind)+":"+encode(uuid)+":"+encode(request.Name), request.Value)
	if lie {
		previous--
	}
	late, silent, gone, code, text, bytes := delay, hang, drop == 1, status, body, raw
	if drop > 0 {
		drop--
	}
	lock.Unlock()
	time.Sleep(late)
	for silent {
		time.Sleep(10 * time.Millisecond)
		lock.Lock()
		silent, gone = hang, true
		lock.Unlock()
	}
	switch {
	case gone:
		cut(w, "")
	case bytes != "":
		cut(w, bytes)
	case text != "":
		_, _ = io.WriteString(w, text)
	case code != 0:
		answer(w, code, "error", nil, "as told")
	default:
		answer(w, http.StatusOK, "success", map[string]uint64{"value": previous}, "")
	}
}

// ---- connections ----

// Changes what is sent on it while told to.
type conn struct{ net.Conn }

func (c conn) Write(p []byte) (int, error) {
	lock.Lock()
	defer lock.Unlock()
	if forge && len(p) > 0 {
		p = append([]byte(nil), p...)
		p[len(p)-1] ^= 1
	}
	return c.Conn.Write(p)
}

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return conn{c}, nil
}

func configure(*tls.ClientHelloInfo) (*tls.Config, error) {
	lock.Lock()
	defer lock.Unlock()
	handshakes++
	config := &tls.Config{Certificates: []tls.Certificate{*shown}, ClientAuth: tls.RequestClientCert}
	if only13 {
		config.MinVersion = tls.VersionTLS13
	}
	return config, nil
}

// ---- commands ----

func command(word, rest string) {
	number, _ := strconv.ParseUint(rest, 10, 64)
	switch word {
	case "run":
		delay, hang, lie, forge, drop, only13 = 0, false, false, false, 0, false
		status, body, raw, shown = 0, "", "", &root
	case "delay":
		delay = time.Duration(number) * time.Millisecond
	case "hang":
		hang = true
	case "lie":
		lie = true
	case "forge":
		forge = true
	case "drop":
		drop = int(number)
	case "tls13":
		only13 = true
	case "status":
		status = int(number)
	case "body":
		body = rest
	case "raw":
		text, err := strconv.Unquote(rest)
		need(err)
		raw = text
	case "impostor":
		shown = &marble
	case "other":
		shown = &other
	case "set":
		for key := range counters {
			counters[key] = number
		}
		save()
	case "list":
		for key, value := range counters {
			fmt.Println(value, key)
		}
	case "stats":
		fmt.Println(requests, handshakes)
	default:
		fmt.Print("unknown ")
	}
	fmt.Println("ok")
}

func commands() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		lock.Lock()
		command(word, rest)
		lock.Unlock()
	}
}

func main() {
	flag.Parse()
	if _, err := os.Stat(filepath.Join(*dir, "root.pem")); err != nil {
		makeFiles()
	}
	root, marble, other = load("root.pem", "root.key"), load("marble.pem", "marble.pem"), load("other.pem", "other.pem")
	shown = &root
	middle, err := os.ReadFile(filepath.Join(*dir, "middle.pem"))
	need(err)
	marbleRoots.AppendCertsFromPEM(middle)
	if text, err := os.ReadFile(filepath.Join(*dir, "counters")); err == nil {
		need(json.Unmarshal(text, &counters))
	}
	tcp, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	need(err)
	fmt.Println(tcp.Addr().(*net.TCPAddr).Port)
	go commands()
	server := &http.Server{Handler: http.HandlerFunc(serve), ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{GetConfigForClient: configure, Certificates: []tls.Certificate{root}}}
	need(server.ServeTLS(listener{tcp}, "", ""))
}

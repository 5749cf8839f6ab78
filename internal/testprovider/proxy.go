package testprovider

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
)

// Proxy is a way to a provider that wants a user name and a password.
type Proxy struct {
	Host string
	Port int

	username, password string
	passed             atomic.Int64
}

// Passed is how many connections or requests the proxy has let through.
func (p *Proxy) Passed() int64 { return p.passed.Load() }

// HTTPProxy runs an HTTP proxy until the test ends.
func HTTPProxy(t testing.TB, username, password string) *Proxy {
	t.Helper()
	p := &Proxy{username: username, password: password}
	s := httptest.NewServer(http.HandlerFunc(p.serveHTTP))
	t.Cleanup(s.Close)
	p.at(s.Listener)
	return p
}

func (p *Proxy) at(l net.Listener) {
	host, port, _ := net.SplitHostPort(l.Addr().String())
	p.Host = host
	p.Port, _ = strconv.Atoi(port)
}

func (p *Proxy) serveHTTP(w http.ResponseWriter, r *http.Request) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.username+":"+p.password))
	if r.Header.Get("Proxy-Authorization") != want {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	p.passed.Add(1)
	if r.Method == http.MethodConnect {
		p.tunnel(w, r)
		return
	}
	r.RequestURI = ""
	r.Header.Del("Proxy-Authorization")
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer answer.Body.Close() //nolint:errcheck // it is only read
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body)
}

func (*Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	server, err := net.Dial("tcp", r.Host) //nolint:gosec // that is what a proxy does
	if err != nil {
		_, _ = fmt.Fprint(client, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		_ = client.Close()
		return
	}
	_, _ = fmt.Fprint(client, "HTTP/1.1 200 OK\r\n\r\n")
	join(client, server)
}

func join(client, server net.Conn) {
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
	_ = client.Close()
}

// SOCKS5Proxy runs a SOCKS 5 proxy (RFC 1928, 1929) until the test ends.
func SOCKS5Proxy(t testing.TB, username, password string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &Proxy{username: username, password: password}
	p.at(l)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serveSOCKS(c)
		}
	}()
	return p
}

func (p *Proxy) serveSOCKS(c net.Conn) {
	address, err := p.handshake(c)
	if err != nil {
		_ = c.Close()
		return
	}
	server, err := net.Dial("tcp", address)
	if err != nil {
		_, _ = c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		_ = c.Close()
		return
	}
	p.passed.Add(1)
	_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	join(c, server)
}

var errSOCKS = errors.New("not what this proxy takes")

func (p *Proxy) handshake(c net.Conn) (address string, err error) {
	if _, err = field(c, []byte{5}); err != nil { // the methods that the client knows
		return "", err
	}
	if _, err = c.Write([]byte{5, 2}); err != nil {
		return "", err
	}
	username, err := field(c, []byte{1})
	if err != nil {
		return "", err
	}
	password, err := field(c, nil)
	if err != nil {
		return "", err
	}
	if string(username) != p.username || string(password) != p.password {
		_, _ = c.Write([]byte{1, 1})
		return "", errSOCKS
	}
	if _, err = c.Write([]byte{1, 0}); err != nil {
		return "", err
	}
	return target(c)
}

// field reads a prefix, a length and as many bytes.
func field(c net.Conn, prefix []byte) ([]byte, error) {
	head := make([]byte, len(prefix)+1)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	if string(head[:len(prefix)]) != string(prefix) {
		return nil, errSOCKS
	}
	text := make([]byte, head[len(prefix)])
	_, err := io.ReadFull(c, text)
	return text, err
}

// target reads a CONNECT request.
func target(c net.Conn) (string, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		return "", err
	}
	var host string
	switch head[3] {
	case 1:
		ip := make(net.IP, net.IPv4len)
		if _, err := io.ReadFull(c, ip); err != nil {
			return "", err
		}
		host = ip.String()
	case 3:
		name, err := field(c, nil)
		if err != nil {
			return "", err
		}
		host = string(name)
	default:
		return "", errSOCKS
	}
	port := make([]byte, 2)
	if _, err := io.ReadFull(c, port); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port)))), nil
}

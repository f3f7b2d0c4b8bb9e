// Bodies that the gate reads or refuses: slow ones, large ones, and odd upgrades.

package tests

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// dial opens a connection to the public origin that speaks HTTP/1.1.
func dial(t *testing.T) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", "127.0.0.1:9443", &tls.Config{InsecureSkipVerify: true, ServerName: "romm.example.com", NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// A client feeds the body of a request that the gate itself reads one byte at a time,
// and would keep the request, its memory and its place among the attempts for ever.
func TestSlowBodiesEnd(t *testing.T) {
	s := start(t, options{directive: rolesByMail + "clients password\n"})
	alice := s.as("alice")
	var all sync.WaitGroup
	for _, target := range []string{
		base + "/token", base + "/token/", base + "/backchannel-logout", base + "/session", base + "/logout",
		"/api/token", "/api/client-tokens/exchange", "/api/auth/device/token", "/api/roms",
	} {
		for _, framing := range []string{"Content-Length: 4000", "Transfer-Encoding: chunked"} {
			all.Go(func() {
				conn := dial(t)
				cookie := ""
				if target == base+"/session" || target == base+"/logout" {
					cookie = alice.ticketCookie() + "\r\nOrigin: " + public + "\r\nSec-Fetch-Site: same-origin\r\n"
				}
				fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: romm.example.com:9443\r\nContent-Type: %s\r\n%s%s\r\n\r\n", target, formType, cookie, framing)
				began := time.Now()
				go func() {
					for {
						text := "a"
						if strings.HasPrefix(framing, "T") {
							text = "1\r\na\r\n"
						}
						if _, err := io.WriteString(conn, text); err != nil {
							return
						}
						time.Sleep(500 * time.Millisecond)
					}
				}()
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // closing it reads conn, which ends with the test
				if took := time.Since(began); err != nil || took > 20*time.Second || answer.StatusCode/100 != 4 {
					t.Errorf("POST %s, %s: got %v after %s (%v), want a refusal within 20 s", target, framing, answer, took, err)
				}
			})
		}
	}
	all.Wait()
}

// Many clients read no response before they have sent the whole upload. They get the
// refusal, not a broken connection, and can use the connection again.
func TestRefusedUploadsGetTheirAnswer(t *testing.T) {
	start(t, options{directive: rolesByMail + "clients bearer\n"})
	for name, c := range map[string]struct {
		request string
		size    int
		status  int
	}{
		"128 KiB without a credential":     {"POST /api/roms", 128 << 10, http.StatusUnauthorized},
		"1 MiB with an unknown token":      {"PUT /api/saves/1", 1 << 20, http.StatusUnauthorized},
		"3 MiB to an unknown own endpoint": {"POST " + base + "/nothing", 3 << 20, http.StatusRequestEntityTooLarge},
		"4 MiB less a byte":                {"POST /api/states", 4<<20 - 1, http.StatusUnauthorized},
		"1 MiB to the token endpoint":      {"POST " + base + "/token", 1 << 20, http.StatusRequestEntityTooLarge},
		"1 MiB of a logout token":          {"POST " + base + "/backchannel-logout", 1 << 20, http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t)
			method, path, _ := strings.Cut(c.request, " ")
			authorization := ""
			if strings.Contains(name, "unknown token") {
				authorization = "Authorization: Bearer rmm_" + strings.Repeat("0", 64) + "\r\n"
			}
			body := strings.NewReader(strings.Repeat("x", c.size))
			fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: romm.example.com:9443\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n", method, path, formType, authorization, c.size)
			if _, err := io.Copy(conn, body); err != nil {
				t.Fatalf("sending the body: %v", err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // closing it reads conn, which ends with the test
			if err != nil || answer.StatusCode != c.status {
				t.Fatalf("got %v (%v), want %d", answer, err, c.status)
			}
		})
	}
}

// An anonymous request for a path that is open asks for another protocol than
// WebSocket. RomM must not see that: requests in that protocol would pass the gate.
func TestOddUpgradesReachNoApplication(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice := s.as("alice")
	for _, cookie := range []string{"", alice.ticketCookie() + "\r\n"} {
		for _, upgrade := range []string{"h2c", "H2C", "h2c, websocket", "TLS/1.0", "x"} {
			s.romm.ForgetRequests()
			conn := dial(t)
			fmt.Fprintf(conn, "GET /api/heartbeat HTTP/1.1\r\nHost: romm.example.com:9443\r\n%sConnection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", cookie, upgrade)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // closing it reads conn, which ends with the test
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Errorf("Upgrade %s: got %v (%v), want 200", upgrade, answer, err)
			}
			for _, r := range s.romm.Requests() {
				if r.Header.Get("Upgrade") != "" || r.Header.Get("Http2-Settings") != "" || strings.Contains(strings.ToLower(r.Header.Get("Connection")), "upgrade") {
					t.Errorf("RomM got %v, want no upgrade", r.Header)
				}
			}
		}
	}
}

// Other applications of the parent domain have set 20 KB of cookies. RomM's nginx
// takes 16 KiB a line, and would answer 400 to everything.
func TestCookiesOfOtherApplications(t *testing.T) {
	s := start(t, options{directive: rolesByMail, global: "servers {\n max_header_size 65536\n}\n"})
	alice := s.as("alice")
	s.romm.ForgetRequests()
	cookies := ticketName + "=" + alice.ticket() + "; grafana=" + strings.Repeat("x", 10<<10) + "; romm_csrftoken=C; nextcloud=" + strings.Repeat("y", 10<<10)
	for _, path := range []string{"/api/users/me", "/api/heartbeat", "/"} {
		for _, cookies := range []string{cookies, "grafana=" + strings.Repeat("x", 20<<10)} {
			conn := dial(t)
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: romm.example.com:9443\r\nCookie: %s\r\n\r\n", path, cookies)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // closing it reads conn, which ends with the test
			want := http.StatusOK
			if strings.HasPrefix(cookies, "grafana") && path != "/api/heartbeat" {
				want = http.StatusUnauthorized
			}
			if err != nil || answer.StatusCode != want {
				t.Errorf("%s: got %v (%v), want %d", path, answer, err, want)
			}
		}
	}
	for _, r := range s.romm.Requests() {
		for _, cookie := range r.Header["Cookie"] {
			if strings.Contains(cookie, "grafana") || strings.Contains(cookie, "nextcloud") {
				t.Errorf("RomM got the cookies %.100s…, want its own only", cookie)
			}
		}
	}
}

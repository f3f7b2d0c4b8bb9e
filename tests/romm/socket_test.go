// Tests of the sockets over WebSocket and polling.

package romm

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// dial opens a WebSocket and completes the handshakes of engine.io and socket.io.
func dial(t *testing.T, target, mount string, cookies ...string) *websocket.Conn {
	t.Helper()
	config, err := websocket.NewConfig("ws"+strings.TrimPrefix(target, "http")+mount+"/socket.io/?EIO=4&transport=websocket", target)
	if err != nil {
		t.Fatal(err)
	}
	config.Header["Cookie"] = cookies
	conn, err := websocket.DialConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	until(t, conn, `0{"maxPayload":1000000,"pingInterval":`)
	send(t, conn, `40{"token":"ignored"}`)
	until(t, conn, `40{"sid":`)
	return conn
}

func send(t *testing.T, conn *websocket.Conn, packet string) {
	t.Helper()
	if err := websocket.Message.Send(conn, packet); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, conn *websocket.Conn) string {
	t.Helper()
	var packet string
	if err := websocket.Message.Receive(conn, &packet); err != nil {
		t.Fatal(err)
	}
	return packet
}

// until reads up to the first packet that begins with prefix.
func until(t *testing.T, conn *websocket.Conn, prefix string) string {
	t.Helper()
	for range 50 {
		if packet := receive(t, conn); strings.HasPrefix(packet, prefix) {
			return packet
		}
	}
	t.Fatalf("no packet of 50 begins with %s, want one", prefix)
	return ""
}

// header returns the browser's cookies as a Cookie header.
func (b *browser) header() string {
	pairs := make([]string, 0, len(b.cookies))
	for name, value := range b.cookies {
		pairs = append(pairs, name+"="+value)
	}
	return strings.Join(pairs, "; ")
}

func TestScanNeedsTheScopeOfTheSession(t *testing.T) {
	t.Parallel()
	s, ada := signedIn(t, Options{})
	s.AddUser(User{Username: "bob", Password: "secret"})
	bob := newBrowser(t, s)
	bob.post("/api/login", "", basic("bob", "secret"))
	target := newServer(t, s)
	const refused = `42["scan:done_ko","not authorized"]`
	session := sessionCookie + "=" + ada.cookies[sessionCookie]
	for name, test := range map[string]struct {
		cookies []string
		want    string
	}{
		"administrator":                      {[]string{ada.header()}, `42["scan:done",{`},
		"user":                               {[]string{bob.header()}, refused},
		"anonymous":                          {nil, refused},
		"two Cookie headers, session last":   {[]string{"a=b", session}, refused},
		"two Cookie headers, session first":  {[]string{session, "a=b"}, refused},
		"one Cookie header with two cookies": {[]string{"a=b; " + session}, `42["scan:done",{`},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, target, "/ws", test.cookies...)
			send(t, conn, `42["scan",{"platforms":[]}]`)
			until(t, conn, test.want)
		})
	}
}

func TestScanBefore50NeedsNoIdentity(t *testing.T) {
	t.Parallel()
	conn := dial(t, newServer(t, New(Options{Version: "4.8.0"})), "/ws")
	send(t, conn, `42["scan",{}]`)
	until(t, conn, `42["scan:done",{`)
}

func TestSocketKeepsTheIdentityOfItsHandshake(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	target := newServer(t, s)
	conn := dial(t, target, "/ws", b.header())
	watcher := dial(t, target, "/ws")
	b.post("/api/logout", "")
	s.Disable("ada")
	send(t, conn, `421["activity:start",{"rom_id":1}]`)
	if got := until(t, watcher, `42["activity:update"`); !strings.Contains(got, `"username":"ada"`) {
		t.Errorf("packet is %s, want ada's activity", got)
	}
	until(t, conn, "431[null]")
	send(t, watcher, `42["activity:start",{"rom_id":2}]`) // ignored
	send(t, watcher, `42["scan",{}]`)
	if got := receive(t, watcher); got != `42["scan:done_ko","not authorized"]` {
		t.Errorf("packet is %s, want the scan refused", got)
	}
	s.SetRole("ada", "user")
	until(t, watcher, `42["permissions:changed"`)
	if open := s.Sockets(); len(open) != 2 || open[1].User != "ada" || open[1].Transport != "websocket" {
		t.Errorf("sockets are %+v, want an anonymous one and ada's by WebSocket", open)
	}
	if last, _ := s.LastRequest("/ws/socket.io/"); last.User != "" {
		t.Errorf("last handshake is %+v, want it anonymous", last)
	}
}

func TestNetplaySocketsAreAnonymous(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	conn := dial(t, newServer(t, s), "/netplay", b.header())
	send(t, conn, `427["open-room",{}]`)
	until(t, conn, "437[null]")
	if open := s.Sockets(); len(open) != 1 || open[0].User != "" {
		t.Errorf("sockets are %+v, want one anonymous socket", open)
	}
	wantStatus(t, newBrowser(t, New(Options{Version: "4.4.0"})).get("/netplay/socket.io/?EIO=4&transport=polling"), http.StatusNotFound)
}

func TestServerPingsTheClient(t *testing.T) {
	t.Parallel()
	conn := dial(t, newServer(t, New(Options{PingInterval: time.Millisecond})), "/ws")
	until(t, conn, "2")
	send(t, conn, "3")
	until(t, conn, "2")
}

func TestDownClosesSockets(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	conn := dial(t, newServer(t, s), "/ws")
	s.Down()
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("reading from the socket: error is %v, want its end", err)
	}
	if s.OpenSockets() != 0 {
		t.Errorf("%d sockets are open, want 0", s.OpenSockets())
	}
}

func TestPollingUsesTheIdentityOfItsHandshake(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	answer := b.get("/ws/socket.io/?EIO=4&transport=polling")
	wantStatus(t, answer, http.StatusOK)
	if setCookie(answer, sessionCookie) == "" {
		t.Error("the polling handshake has no session cookie, want one as on every response of a session")
	}
	hello := text(t, answer)
	_, rest, _ := strings.Cut(hello, `"sid":"`)
	sid, _, _ := strings.Cut(rest, `"`)
	if !strings.Contains(hello, `"upgrades":["websocket"]`) || sid == "" {
		t.Fatalf("handshake is %s, want an upgrade to WebSocket and a sid", hello)
	}
	at := "/ws/socket.io/?EIO=4&transport=polling&sid=" + sid
	stranger := newBrowser(t, s) // only the handshake carries an identity
	if got := text(t, stranger.do("POST", at, "40\x1e42[\"scan\",{}]")); got != "ok" {
		t.Errorf("response to the packets is %s, want ok", got)
	}
	got := text(t, stranger.get(at))
	if !strings.HasPrefix(got, `40{"sid":`) || !strings.Contains(got, "\x1e42[\"scan:done\",") {
		t.Errorf("packets are %q, want the connect and a finished scan", got)
	}
	waiting := make(chan string)
	go func() { waiting <- text(t, stranger.get(at)) }()
	s.Broadcast("hello", 1)
	if got := <-waiting; got != `42["hello",1]` {
		t.Errorf("packet is %s, want the broadcast", got)
	}
	wantStatus(t, b.get(at+"x"), http.StatusBadRequest)
	b.do("POST", at, "1")
	if s.OpenSockets() != 0 {
		t.Errorf("%d sockets are open, want 0", s.OpenSockets())
	}
}

func TestPollingUpgradesToWebSocket(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	hello := text(t, b.get("/ws/socket.io/?EIO=4&transport=polling"))
	_, rest, _ := strings.Cut(hello, `"sid":"`)
	sid, _, _ := strings.Cut(rest, `"`)
	target := newServer(t, s)
	conn, err := websocket.Dial(fmt.Sprintf("ws%s/ws/socket.io/?EIO=4&transport=websocket&sid=%s", strings.TrimPrefix(target, "http"), sid), "", target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	send(t, conn, "2probe")
	until(t, conn, "3probe")
	send(t, conn, "5")
	send(t, conn, "40")
	until(t, conn, "40{")
	send(t, conn, `42["scan",{}]`)
	until(t, conn, `42["scan:done",{`)
}

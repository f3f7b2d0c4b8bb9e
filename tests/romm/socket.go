// The state of socket.io connections, independent of their transport.

package romm

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The two servers that RomM mounts.
const (
	mainSockets    = "/ws"
	netplaySockets = "/netplay"
)

// The packet types of engine.io 4 that both sides use.
const (
	packetOpen    = "0"
	packetClose   = "1"
	packetPing    = "2"
	packetPong    = "3"
	packetMessage = "4"
	packetUpgrade = "5"
	packetNoop    = "6"
)

const pingTimeout = 60 * time.Second

// Socket is one open socket.io connection.
type Socket struct {
	// Path is /ws or /netplay.
	Path string
	// User is the user of the handshake, "" if it was anonymous. It never changes.
	User string
	// Transport is "websocket" or "polling".
	Transport string
}

// hub holds the open sockets.
type hub struct {
	mu   sync.Mutex
	open map[string]*socket
}

// socket is one engine.io connection. Its queue holds packets for the client, until
// the transport takes them.
type socket struct {
	server *Server
	sid    string
	path   string
	user   string
	done   chan struct{}
	end    func()

	mu        sync.Mutex
	queue     []string
	ready     chan struct{}
	transport string
	joined    bool
	heard     time.Time
}

func (s *Server) newSocket(path, user, transport string) *socket {
	c := &socket{
		server: s, sid: randomText(20), path: path, user: user, transport: transport,
		done: make(chan struct{}), ready: make(chan struct{}, 1), heard: time.Now(),
	}
	c.end = sync.OnceFunc(func() {
		s.sockets.mu.Lock()
		delete(s.sockets.open, c.sid)
		s.sockets.mu.Unlock()
		close(c.done)
	})
	upgrades := []string{}
	if transport == "polling" {
		upgrades = append(upgrades, "websocket")
	}
	hello, _ := json.Marshal(map[string]any{ // strings and numbers
		"sid": c.sid, "upgrades": upgrades, "pingInterval": s.options.PingInterval.Milliseconds(),
		"pingTimeout": pingTimeout.Milliseconds(), "maxPayload": maxPayload,
	})
	c.send(packetOpen + string(hello))
	s.sockets.mu.Lock()
	s.sockets.open[c.sid] = c
	s.sockets.mu.Unlock()
	go c.ping()
	return c
}

// ping pings the client until it leaves or does not respond in time.
func (c *socket) ping() {
	ticker := time.NewTicker(c.server.options.PingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		c.mu.Lock()
		lost := time.Since(c.heard) > c.server.options.PingInterval+pingTimeout
		c.mu.Unlock()
		if lost {
			c.end()
			return
		}
		c.send(packetPing)
	}
}

func (c *socket) send(packet string) {
	c.mu.Lock()
	c.queue = append(c.queue, packet)
	c.mu.Unlock()
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (c *socket) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	packets := c.queue
	c.queue = nil
	return packets
}

func (c *socket) uses(transport string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.transport == transport
}

// receive handles one packet of the client.
func (c *socket) receive(packet string) {
	c.mu.Lock()
	c.heard = time.Now()
	c.mu.Unlock()
	if packet == "" {
		return
	}
	switch rest := packet[1:]; packet[:1] {
	case packetClose:
		c.end()
	case packetMessage:
		c.message(rest)
	}
}

// message handles one socket.io packet: connect, disconnect or event.
func (c *socket) message(text string) {
	switch {
	case text == "":
	case text[0] == '0': // RomM ignores the payload, even if it has credentials
		c.mu.Lock()
		c.joined = true
		c.mu.Unlock()
		c.send(packetMessage + `0{"sid":"` + c.sid + `"}`)
	case text[0] == '1':
		c.end()
	case text[0] == '2':
		body := strings.TrimLeft(text[1:], "0123456789")
		ack := text[1 : len(text)-len(body)]
		var event []json.RawMessage
		var name string
		if json.Unmarshal([]byte(body), &event) != nil || len(event) == 0 || json.Unmarshal(event[0], &name) != nil {
			return
		}
		c.event(name, event[1:])
		if ack != "" {
			c.send(packetMessage + "3" + ack + "[null]")
		}
	}
}

func (c *socket) emit(name string, payload any) {
	body, err := json.Marshal([]any{name, payload})
	if err == nil {
		c.send(packetMessage + "2" + string(body))
	}
}

// broadcast emits an event to every socket of one server, anonymous ones too.
func (h *hub) broadcast(path, name string, payload any) {
	for _, c := range h.all() {
		c.mu.Lock()
		joined := c.joined
		c.mu.Unlock()
		if joined && c.path == path {
			c.emit(name, payload)
		}
	}
}

func (h *hub) all() []*socket {
	h.mu.Lock()
	defer h.mu.Unlock()
	sockets := make([]*socket, 0, len(h.open))
	for _, c := range h.open {
		sockets = append(sockets, c)
	}
	return sockets
}

func (h *hub) find(sid string) *socket {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open[sid]
}

func (h *hub) closeAll() {
	for _, c := range h.all() {
		c.end()
	}
}

// OpenSockets returns the number of open sockets.
func (s *Server) OpenSockets() int { return len(s.sockets.all()) }

// Sockets returns the open sockets, sorted by user and path.
func (s *Server) Sockets() []Socket {
	sockets := s.sockets.all()
	open := make([]Socket, 0, len(sockets))
	for _, c := range sockets {
		c.mu.Lock()
		open = append(open, Socket{Path: c.path, User: c.user, Transport: c.transport})
		c.mu.Unlock()
	}
	slices.SortFunc(open, func(a, b Socket) int { return strings.Compare(a.User+a.Path, b.User+b.Path) })
	return open
}

// Broadcast sends an event to all sockets of the main server.
func (s *Server) Broadcast(event string, payload any) {
	s.sockets.broadcast(mainSockets, event, payload)
}

// socketUser returns the user of a handshake. From 5.0 it is the user of the
// session cookie; other credentials are ignored. Repeated Cookie headers are
// joined with a comma, which makes the cookies unreadable. A disabled user still
// connects.
func (s *Server) socketUser(r *http.Request, path string) string {
	if !s.version.socketIdentity() || path != mainSockets {
		return ""
	}
	joined := &http.Request{Header: http.Header{"Cookie": {strings.Join(r.Header["Cookie"], ",")}}}
	for _, c := range joined.CookiesNamed(sessionCookie) {
		data, live := s.sessions.load(c.Value, s.options.Now())
		if u, found := s.accounts.byName(data.Subject); live && found && data.Issuer == sessionIssuer {
			return u.Username
		}
	}
	return ""
}

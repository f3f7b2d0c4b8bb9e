// The two transports of engine.io: WebSocket and polling.

package romm

import (
	"io"
	"net/http"
	"strings"

	"golang.org/x/net/websocket"
)

const (
	maxPayload = 1_000_000
	// packetSeparator separates the packets of one polling body.
	packetSeparator = "\x1e"
)

// serveSocket serves the paths below /ws and /netplay. RomM's middleware ignores
// a WebSocket handshake. Polling is plain HTTP and passes through all of it.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request, entry *Request) {
	mount, known := strings.CutSuffix(plainPath(r.URL.Path), "/socket.io")
	if known = known && (mount == mainSockets || mount == netplaySockets && s.version.redisSessions()); !known {
		s.serve(w, r, entry, func(*exchange) error { return errNotFound })
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		s.serve(w, r, entry, func(x *exchange) error { return x.poll(mount) })
		return
	}
	query := r.URL.Query()
	var existing *socket
	if sid := query.Get("sid"); sid != "" {
		existing = s.sockets.find(sid)
	}
	if query.Get("EIO") != "4" || query.Get("transport") != "websocket" || query.Has("sid") && existing == nil {
		http.Error(w, `"Invalid session"`, http.StatusBadRequest)
		return
	}
	user := s.socketUser(r, mount)
	s.journal.authenticated(entry, user)
	websocket.Server{Handler: func(conn *websocket.Conn) {
		conn.MaxPayloadBytes = maxPayload
		if existing != nil {
			existing.upgrade(conn)
			return
		}
		s.newSocket(mount, user, "websocket").run(conn)
	}}.ServeHTTP(w, r)
}

// run moves packets over a WebSocket until one side leaves.
func (c *socket) run(conn *websocket.Conn) {
	defer c.end()
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer conn.Close() //nolint:errcheck // ends the reader
		c.write(conn)
	}()
	for {
		var packet string
		if websocket.Message.Receive(conn, &packet) != nil {
			break
		}
		c.receive(packet)
	}
	c.end()
	<-written
}

func (c *socket) write(conn *websocket.Conn) {
	for {
		for _, packet := range c.take() {
			if websocket.Message.Send(conn, packet) != nil {
				return
			}
		}
		select {
		case <-c.done:
			return
		case <-c.ready:
		}
	}
}

// upgrade moves a polling socket to a WebSocket. The socket keeps the identity of
// its handshake.
func (c *socket) upgrade(conn *websocket.Conn) {
	var packet string
	if websocket.Message.Receive(conn, &packet) != nil || packet != packetPing+"probe" ||
		websocket.Message.Send(conn, packetPong+"probe") != nil {
		return
	}
	c.send(packetNoop) // ends the pending poll
	if websocket.Message.Receive(conn, &packet) != nil || packet != packetUpgrade {
		return
	}
	c.mu.Lock()
	c.transport = "websocket"
	c.mu.Unlock()
	c.run(conn)
}

// poll serves one request of the polling transport: the handshake, a wait for
// packets, or packets from the client.
func (x *exchange) poll(mount string) error {
	query := x.r.URL.Query()
	sid := query.Get("sid")
	if sid == "" && x.r.Method == http.MethodGet && query.Get("EIO") == "4" {
		user := x.socketUser(x.r, mount)
		return x.packets(x.newSocket(mount, user, "polling").take())
	}
	c := x.sockets.find(sid)
	if c == nil || !c.uses("polling") {
		return x.json(http.StatusBadRequest, "Invalid session")
	}
	if x.r.Method == http.MethodPost {
		body, err := io.ReadAll(http.MaxBytesReader(x.reply, x.r.Body, maxPayload))
		if err != nil {
			return x.json(http.StatusBadRequest, "Invalid request")
		}
		for packet := range strings.SplitSeq(string(body), packetSeparator) {
			c.receive(packet)
		}
		x.text(http.StatusOK, "ok")
		return nil
	}
	for {
		if packets := c.take(); len(packets) > 0 {
			return x.packets(packets)
		}
		select {
		case <-c.ready:
		case <-c.done:
			return x.packets([]string{packetClose})
		case <-x.r.Context().Done():
			return nil
		}
		if !c.uses("polling") {
			return x.packets([]string{packetNoop})
		}
	}
}

func (x *exchange) packets(packets []string) error {
	x.text(http.StatusOK, strings.Join(packets, packetSeparator))
	return nil
}

// The socket.io events: scans and now-playing activity.

package romm

import (
	"encoding/json"
	"fmt"
	"slices"
)

// event handles an event that a client emits.
func (c *socket) event(name string, arguments []json.RawMessage) {
	if c.path == netplaySockets { // open to anonymous sockets
		return
	}
	switch name {
	case "scan":
		c.scan()
	case "scan:stop":
		if c.mayScan() {
			c.server.Broadcast("scan:done", map[string]any{})
		} else {
			c.emit("scan:done_ko", "not authorized")
		}
	case "activity:start", "activity:heartbeat", "activity:stop":
		c.activity(name, arguments)
	}
}

// mayScan reports whether the socket's user may scan. The identity is that of the
// handshake, the scopes are the current ones. Before 5.0 anonymous sockets may
// scan too.
func (c *socket) mayScan() bool {
	if !c.server.version.socketIdentity() {
		return true
	}
	u, found := c.server.accounts.byName(c.user)
	return c.user != "" && found && slices.Contains(c.server.scopesOf(u), "tasks.run")
}

// scan broadcasts its progress. A refusal goes to the client that asked.
func (c *socket) scan() {
	if !c.mayScan() {
		c.emit("scan:done_ko", "not authorized")
		return
	}
	steps := c.server.options.ScanSteps
	c.server.Broadcast("scan:scanning_platform", map[string]any{"id": 1, "slug": "nes", "name": "NES"})
	for i := range steps {
		c.server.Broadcast("scan:scanning_rom", map[string]any{"id": i + 1, "name": fmt.Sprintf("Demo %d", i+1)})
		c.server.Broadcast("scan:update_stats", map[string]any{"scanned_platforms": 1, "scanned_roms": i + 1})
	}
	c.server.Broadcast("scan:done", map[string]any{"scanned_platforms": 1, "scanned_roms": steps})
}

// activity broadcasts what a user plays. Events of anonymous sockets are ignored.
func (c *socket) activity(name string, arguments []json.RawMessage) {
	u, found := c.server.accounts.byName(c.user)
	if c.user == "" || !found {
		return
	}
	var playing map[string]any
	if len(arguments) > 0 && json.Unmarshal(arguments[0], &playing) != nil {
		return
	}
	entry := map[string]any{"user_id": u.ID, "username": u.Username, "rom_id": playing["rom_id"]}
	if name == "activity:stop" {
		c.server.Broadcast("activity:clear", entry)
		return
	}
	c.server.Broadcast("activity:update", entry)
}

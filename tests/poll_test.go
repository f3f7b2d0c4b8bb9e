// A client for RomM's sockets over the polling transport, for other tests.

package tests

import (
	"encoding/json"
	"net/http"
	"strings"
)

// poller is a socket of RomM over the polling transport.
type poller struct {
	*browser
	target string
}

// poll opens a polling socket on mount.
func (b *browser) poll(mount string) *poller {
	b.t.Helper()
	target := mount + "/socket.io/?EIO=4&transport=polling"
	answer := b.fetch(target)
	var hello struct {
		SID string `json:"sid"`
	}
	text, ok := strings.CutPrefix(answer.body, "0")
	if !ok || json.Unmarshal([]byte(text), &hello) != nil || hello.SID == "" {
		b.t.Fatalf("the handshake of %s answered %d, want a session id: %s", mount, answer.StatusCode, answer.body)
	}
	return &poller{b, target + "&sid=" + hello.SID}
}

// send sends one packet and returns the status of the answer.
func (p *poller) send(packet string) int {
	p.t.Helper()
	return p.browser.send("POST "+p.target, strings.NewReader(packet), "Content-Type", "text/plain;charset=UTF-8", "Sec-Fetch-Site", "same-origin", "Origin", public).StatusCode
}

// until polls until a packet contains text. It returns false when the socket
// is refused.
func (p *poller) until(text string) bool {
	p.t.Helper()
	for {
		answer := p.fetch(p.target)
		switch {
		case answer.StatusCode != http.StatusOK:
			return false
		case strings.Contains(answer.body, text):
			return true
		}
	}
}

// Sockets whose user lost in RomM what the socket was opened with.

package tests

import (
	"testing"

	"golang.org/x/net/websocket"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// Bob is an administrator in RomM and reads its log over a socket: RomM looks at the
// user of a socket when it opens. Root takes the role from him, disables him or removes
// his account. The socket closes; that of another user does not.
func TestAccountChangedInRomMClosesItsSockets(t *testing.T) {
	for name, change := range map[string]func(root *browser, bob romm.User){
		"role":     func(root *browser, bob romm.User) { root.change(bob, "role=user") },
		"disabled": func(root *browser, bob romm.User) { root.change(bob, "enabled=false") },
		"removed": func(root *browser, bob romm.User) {
			if answer := root.fetch("DELETE /api/users/"+itoa(bob.ID), append(root.csrf(), "Sec-Fetch-Site", "same-origin")...); answer.StatusCode/100 != 2 {
				root.t.Fatalf("removing the account answered %d: %s", answer.StatusCode, answer.body)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{})
			s.romm.AddUser(romm.User{Username: "alice", Email: "alice@example.com", Role: "admin"})
			s.romm.AddUser(romm.User{Username: "bob", Email: "bob@example.com", Role: "admin"})
			root, b := s.as("alice"), s.as("bob")
			bob, _ := s.romm.User("bob")
			open := func(b *browser) *websocket.Conn {
				socket, err := s.socket(b.ticket(), public)
				if err != nil {
					t.Fatal(err)
				}
				scan(t, socket)
				if !until(socket, `"scan:done"`) {
					t.Fatal("the scan over the socket was not done, want it done")
				}
				return socket
			}
			_, hers := open(b), open(root)
			change(root, bob)
			eventually(t, func() bool { return s.romm.OpenSockets() == 1 })
			scan(t, hers)
			if !until(hers, `"scan:done"`) {
				t.Error("alice's socket closed, too, want it open")
			}
		})
	}
}

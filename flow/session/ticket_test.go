// Tickets and session IDs.

package session

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

func testKeyring(tb testing.TB, gate string, seed byte) *keyring.Keyring {
	tb.Helper()
	keys, err := keyring.New(gate, bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

func TestTicketText(t *testing.T) {
	made := newTicket(testKeyring(t, testGate, 1))
	text := made.String()
	if len(text) != 43 {
		t.Fatalf("the ticket has %d characters, want 43", len(text))
	}
	if parsed, ok := parseTicket(text); !ok || parsed != made {
		t.Fatalf("parseTicket(%q) = %v, %v, want the same ticket", text, parsed, ok)
	}
	zero := ticket{}.String()
	for name, malformed := range map[string]string{
		"empty":              "",
		"short":              text[:42],
		"long":               text + "A",
		"padded":             text + "=",
		"padded inside":      text[:42] + "=",
		"other alphabet":     strings.Repeat("+", 43),
		"line break inside":  text[:20] + "\n" + text[21:],
		"line break at end":  zero[:42] + "\n",
		"carriage returns":   text[:20] + "\r\r" + text[22:],
		"stray trailing bit": zero[:42] + "B",
		"not ASCII":          text[:41] + "é",
	} {
		t.Run(name, func(t *testing.T) {
			if _, ok := parseTicket(malformed); ok {
				t.Errorf("parseTicket(%q) succeeded, want false", malformed)
			}
		})
	}
}

func TestTicketOfAnotherGateIsForged(t *testing.T) {
	ticket := newTicket(testKeyring(t, testGate, 1))
	if !ticket.genuine(testKeyring(t, testGate, 1)) {
		t.Error("the gate's own ticket is not genuine")
	}
	if ticket.genuine(testKeyring(t, "another gate", 1)) {
		t.Error("the ticket is genuine at another gate with the same secret")
	}
	if ticket.genuine(testKeyring(t, testGate, 2)) {
		t.Error("the ticket is genuine under another secret")
	}
	for i := range ticket {
		forged := ticket
		forged[i] ^= 1
		if forged.genuine(testKeyring(t, testGate, 1)) {
			t.Errorf("a ticket with byte %d changed is genuine", i)
		}
	}
}

func TestTicketSurvivesRotation(t *testing.T) {
	old, young := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	before, _ := keyring.New(testGate, old)
	after, _ := keyring.New(testGate, young, old)
	if !newTicket(before).genuine(after) {
		t.Error("a ticket made before the rotation is not genuine after it")
	}
}

func TestParseID(t *testing.T) {
	_, session := create(t, newTestStore(newFakeStorage()), "ada")
	text := session.ID().String()
	if id, err := ParseID(text); err != nil || id != session.ID() {
		t.Errorf("ParseID(%q) = %v, %v, want %v", text, id, err, session.ID())
	}
	for _, malformed := range []string{"", "..", text[:31], text + "0", strings.Repeat("A", 32), strings.Repeat("g", 32), "../" + text[3:]} {
		if _, err := ParseID(malformed); err == nil {
			t.Errorf("ParseID(%q) succeeded, want an error", malformed)
		}
	}
}

func FuzzTicket(f *testing.F) {
	keys := testKeyring(f, testGate, 1)
	f.Add(newTicket(keys).String())
	f.Add("")
	f.Add(strings.Repeat("A", 43))
	f.Add(strings.Repeat("-_", 21) + "\n")
	f.Add(strings.Repeat("A", 42) + "=")
	f.Fuzz(func(t *testing.T, text string) {
		ticket, ok := parseTicket(text)
		if !ok {
			return
		}
		if ticket.String() != text {
			t.Errorf("%q has a second spelling %q", ticket.String(), text)
		}
		if raw, err := base64.RawURLEncoding.DecodeString(text); err != nil || !bytes.Equal(raw, ticket[:]) {
			t.Errorf("%q was read as %x", text, ticket)
		}
	})
}

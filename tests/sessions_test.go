package tests

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Somebody opens the page of their sessions, signs in, comes back to it, and
// ends the session that they forgot elsewhere.
func TestOwnSessionsPage(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	forgotten, bob := s.as("alice"), s.as("bob")
	b := s.browser()
	answer := b.signIn(base+"/session", "alice")
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != base+"/session" {
		t.Fatalf("%d %s", answer.StatusCode, answer.Header.Get("Location"))
	}
	page := b.open(base + "/session")
	if page.StatusCode != http.StatusOK || strings.Count(page.body, "Another browser") != 1 || strings.Contains(page.body, "bob") {
		t.Errorf("%d %s", page.StatusCode, page.body)
	}
	var list struct {
		Sessions []struct {
			ID   string `json:"id"`
			This bool   `json:"this"`
		} `json:"sessions"`
	}
	if answer := b.fetch(base + "/session"); json.Unmarshal([]byte(answer.body), &list) != nil || len(list.Sessions) != 2 {
		t.Fatalf("%d %s", answer.StatusCode, answer.body)
	}
	id := list.Sessions[0].ID
	if list.Sessions[0].This {
		id = list.Sessions[1].ID
	}
	end := func(b *browser) response {
		return b.send("POST "+base+"/session", strings.NewReader(url.Values{"end": {id}}.Encode()),
			"Content-Type", "application/x-www-form-urlencoded", "Origin", public,
			"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
	}
	s.problem(end(bob), http.StatusNotFound, "session_unknown")
	if !forgotten.in() {
		t.Fatal("bob ended a session of alice")
	}
	if answer := end(b); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != base+"/session" {
		t.Errorf("%d %s", answer.StatusCode, answer.body)
	}
	if forgotten.in() || !b.in() || !bob.in() {
		t.Error("not the forgotten session alone has ended")
	}
}

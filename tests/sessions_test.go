// The page of a user's own sessions.

package tests

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// A user opens the page of their own sessions, signs in, returns to that page,
// and ends a session that was left open elsewhere.
func TestOwnSessionsPage(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	forgotten, bob := s.as("alice"), s.as("bob")
	b := s.browser()
	answer := b.signIn(base+"/session", "alice")
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != base+"/session" {
		t.Fatalf("the callback answered %d to %q, want 303 to the page of sessions", answer.StatusCode, answer.Header.Get("Location"))
	}
	page := b.open(base + "/session")
	if page.StatusCode != http.StatusOK || strings.Count(page.body, "Another browser") != 1 || strings.Contains(page.body, "bob") {
		t.Errorf("the page of sessions answered %d, want 200 with one other browser and nothing about bob: %s", page.StatusCode, page.body)
	}
	// It names each browser in the language of the one that asks, and no server.
	const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
	other := s.browser()
	location := other.callback("/", "alice")
	other.do(location, "User-Agent", firefox, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", "text/html")
	german := other.do(base+"/session", "Accept-Language", "de-DE,de;q=0.9", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none", "Accept", "text/html")
	host, _ := os.Hostname()
	for _, want := range []string{`lang="de"`, "Firefox unter Linux", "127.0.0.1", "gerade eben", "Ein anderer Browser"} {
		if !strings.Contains(german.body, want) {
			t.Errorf("the page of sessions in German lacks %q: %s", want, german.body)
		}
	}
	if host != "" && host != "localhost" && strings.Contains(german.body, host) {
		t.Errorf("the page names the server %s", host)
	}
	other.send("POST "+base+"/logout", nil, "Origin", public, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
	var list struct {
		Sessions []struct {
			ID   string `json:"id"`
			This bool   `json:"this"`
		} `json:"sessions"`
	}
	if answer := b.fetch(base + "/session"); json.Unmarshal([]byte(answer.body), &list) != nil || len(list.Sessions) != 2 {
		t.Fatalf("the list of sessions answered %d, want JSON with 2 sessions: %s", answer.StatusCode, answer.body)
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
		t.Fatal("bob ended one of alice's sessions")
	}
	if answer := end(b); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != base+"/session" {
		t.Errorf("ending an own session answered %d, want 303 back to the page of sessions: %s", answer.StatusCode, answer.body)
	}
	if forgotten.in() || !b.in() || !bob.in() {
		t.Error("want only the forgotten session ended")
	}
}

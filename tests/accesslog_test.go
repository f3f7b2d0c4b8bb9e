// The access log: whose request it was and what became of it, without what
// opens anything.

package tests

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
)

// The filter of docs/sessions.md keeps codes, states and nonces out of the access log, and
// its placeholders name the session and the code of a refusal.
func TestAccessLog(t *testing.T) {
	document, err := os.ReadFile("../docs/sessions.md")
	if err != nil {
		t.Fatal(err)
	}
	filter := regexp.MustCompile(`(?s)\t\tformat filter \{.*?\n\t\t\}\n`).FindString(string(document))
	appends := strings.Join(regexp.MustCompile(`(?m)^\tlog_append .*$`).FindAllString(string(document), -1), "\n")
	if filter == "" || appends == "" {
		t.Fatal("docs/sessions.md has no filter for the access log, or no log_append")
	}
	path := filepath.Join(t.TempDir(), "access.log")
	s := start(t, options{directive: rolesByMail, site: "reverse_proxy %s {\n" + freshConnections + "\n}\nlog {\n output file " + path + "\n" + filter + "}\n" + appends})
	b := s.browser()
	location := b.callback("/", "alice")
	callback, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	b.open(location)
	b.fetch("/api/users/me", "Referer", location)
	s.browser().fetch("/api/users/me")
	session := managed[admin.Session](s, admin.SessionsPath)[0].ID
	var content string
	lines := map[string][2]string{} // session and code, by status and path
	eventually(t, func() bool {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content = string(text)
		for line := range strings.Lines(content) {
			var entry struct {
				Request struct{ URI string }
				Status  int
				Session string
				Code    string
			}
			if json.Unmarshal([]byte(line), &entry) == nil {
				lines[itoa(entry.Status)+" "+entry.Request.URI] = [2]string{entry.Session, entry.Code}
			}
		}
		_, ok := lines["401 /api/users/me"]
		return ok
	})
	for name, secret := range map[string]string{"code": callback.Query().Get("code"), "state": callback.Query().Get("state")} {
		if secret == "" || strings.Contains(content, secret) || strings.Contains(content, url.QueryEscape(secret)) {
			t.Errorf("the access log has the %s", name)
		}
	}
	if strings.Contains(content, "nonce=") {
		t.Error("the access log has a nonce")
	}
	for line, want := range map[string][2]string{
		"200 /api/users/me": {session, ""}, "401 /api/users/me": {"", "not_signed_in"}, "303 " + base + "?" + strippedQuery(callback): {session, ""},
	} {
		if got, ok := lines[line]; !ok || got != want {
			t.Errorf("the line %q has session and code %q, want %q: %v", line, got, want, lines)
		}
	}
}

// strippedQuery is what the filter leaves of the callback's query.
func strippedQuery(callback *url.URL) string {
	query := callback.Query()
	query.Del("code")
	query.Del("state")
	return query.Encode()
}

// The audit log: one line for each fact.

package tests

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// auditLog returns the global options that write the audit log to a file, and
// a function that reads its lines.
func auditLog(t *testing.T) (global string, lines func() []map[string]any) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.log")
	global = "log audit {\n output file " + path + "\n format json\n include http.handlers.romm_oidc.audit\n}\n"
	return global, func() (all []map[string]any) {
		t.Helper()
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		scanner := bufio.NewScanner(file)
		for scanner.Scan() {
			var line map[string]any
			if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
				t.Fatalf("%v: %s", err, scanner.Text())
			}
			all = append(all, line)
		}
		return all
	}
}

// short returns a line without what differs from run to run.
func short(line map[string]any) string {
	var text []string
	for _, name := range []string{"event", "user", "code", "status", "reason", "by", "former_role", "role"} {
		if value, ok := line[name]; ok {
			text = append(text, name+"="+strings.TrimSuffix(jsonOf(value), "\n"))
		}
	}
	return strings.Join(text, " ")
}

func jsonOf(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return strings.Trim(string(text), `"`)
}

// From the audit log alone, an operator knows who came in, who was refused and
// why, and who ended which session.
func TestAuditLog(t *testing.T) {
	global, lines := auditLog(t)
	s := start(t, options{global: global, directive: rolesByMail + recheckSoon + "allow {\n emails alice@example.com bob@example.com carol@example.com\n}\n"})
	s.authelia.SetEmail("frank", "frank@example.com")
	step := func(name string, want ...string) []map[string]any {
		t.Helper()
		all := lines()
		eventually(t, func() bool {
			all = lines()
			return len(all) >= len(want)
		})
		got := make([]string, 0, len(all))
		for _, line := range all {
			got = append(got, short(line))
			if line["schema"] != 1.0 || line["logger"] != "http.handlers.romm_oidc.audit" || line["gate"] == nil || line["ts"] == nil {
				t.Errorf("%s: a line lacks schema, logger, gate or time: %v", name, line)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s: the audit log has\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		return all
	}
	known := make([]string, 0, 20)
	known = append(known, "event=account_linked user=alice by=user", "event=role_changed user=alice former_role=user role=admin", "event=signed_in user=alice")
	alice := s.as("alice")
	all := step("a first sign-in", known...)
	for _, line := range all {
		if line["sub"] != s.authelia.Subject("alice") || !strings.HasPrefix(jsonOf(line["account"]), "1 20") {
			t.Errorf("a line does not name alice's subject and account: %v", line)
		}
	}
	session := managed[admin.Session](s, admin.SessionsPath)[0].ID
	if all[2]["session_id"] != session || all[2]["client_ip"] != "127.0.0.1" {
		t.Errorf("the line of the sign-in does not name the session %s and the address: %v", session, all[2])
	}

	refused := s.browser().signIn("/", "frank")
	known = append(known, "event=refused user=frank code=not_allowed status=403")
	line := step("a refusal after the ID token", known...)[3]
	if line["sub"] != s.authelia.Subject("frank") || line["sign_in"] != true || !strings.Contains(refused.body, jsonOf(line["reference"])) {
		t.Errorf("the line does not name frank's subject and the page's reference: %v", line)
	}
	s.browser().fetch("/api/users/me") // everyday
	alice.fetch("/api/users/me", "Origin", "https://evil.example")
	known = append(known, "event=refused user=alice code=cross_origin status=403")
	if line := step("a refusal of a session", known...)[4]; line["session_id"] != session || line["path"] != "/api/users/me" {
		t.Errorf("the line does not name the session and the path: %v", line)
	}
	alice.fetch("POST /api/logout", "Origin", public)
	known = append(known, "event=signed_out user=alice reason=signed_out by=user")
	if line := step("a sign-out", known...)[5]; line["session_id"] != session || line["client_ip"] != "127.0.0.1" {
		t.Errorf("the line does not name the session and the address: %v", line)
	}
	s.as("bob")
	known = append(known, "event=account_linked user=bob by=user", "event=signed_in user=bob")
	s.load(options{global: global, directive: rolesByMail + recheckSoon}) // the gate keeps its sessions
	if output, code := s.command("sessions", "end-user", "bob"); code != 0 {
		t.Fatal(output)
	}
	known = append(known, "event=ended user=bob reason=operator by=operator")
	if line := step("an end by the operator", known...)[8]; line["client_ip"] != nil {
		t.Errorf("an end by the operator names a client: %v", line)
	}
	carol := s.as("carol")
	known = append(known, "event=account_linked user=carol by=user", "event=signed_in user=carol")
	s.authelia.DisableUser("carol")
	eventually(t, carol.out)
	known = append(known, "event=ended user=carol reason=account_gone by=provider")
	step("an end by the provider", known...)
	if output, code := s.command("links", "forget", "carol"); code != 0 {
		t.Fatal(output)
	}
	all = step("a link removed", append(known, "event=account_unlinked by=operator")...)
	documentsFields(t, all)
}

// documentsFields fails unless docs/operating has every field of the lines.
func documentsFields(t *testing.T, lines []map[string]any) {
	t.Helper()
	document, err := os.ReadFile("../docs/operating/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(document), "| field | content |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, line := range lines {
		for name := range line {
			if !strings.Contains(table, "`"+name+"`") && !slices.Contains([]string{"ts", "level", "logger", "msg"}, name) {
				t.Errorf("docs/operating lacks the field %s of the audit log", name)
			}
		}
	}
}

// docs/operating lists all codes, with the status that pages have, all reasons
// and all events, and no others.
func TestDocumentedCodes(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	document, err := os.ReadFile("../docs/operating/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, codes, _ := strings.Cut(string(document), "### Codes\n")
	codes, rest, _ := strings.Cut(codes, "\n### Reasons\n")
	var existing []string
	for _, file := range []string{"../handler/problem/problems.go", "../handler/romm/problems.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`Code: "([a-z_]+)", Status:`).FindAllStringSubmatch(string(source), -1) {
			existing = append(existing, match[1])
		}
	}
	documented := make([]string, 0, len(existing))
	for _, match := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [1-5][0-9]{2} \\|").FindAllStringSubmatch(codes, -1) {
		documented = append(documented, match[1])
	}
	slices.Sort(existing)
	slices.Sort(documented)
	if len(existing) == 0 || !slices.Equal(documented, existing) {
		t.Errorf("docs/operating documents the codes\n%q, and these exist\n%q", documented, existing)
	}
	counted := make([]string, 0, len(existing))
	for _, match := range regexp.MustCompile(`caddy_romm_oidc_refusals_total\{code="([a-z_]+)"\}`).FindAllStringSubmatch(s.metrics(), -1) {
		counted = append(counted, match[1])
	}
	slices.Sort(counted)
	if !slices.Equal(counted, existing) {
		t.Errorf("the metrics begin with the codes\n%q, and these exist\n%q", counted, existing)
	}
	names := regexp.MustCompile("(?m)^\\| `romm_oidc\\.([a-z_]+)` \\|").FindAllStringSubmatch(rest, -1)
	events := make([]event.Name, 0, len(names))
	for _, match := range names {
		events = append(events, event.Name(match[1]))
	}
	if !slices.Equal(events, event.Names()) {
		t.Errorf("docs/operating documents the events %q, and these exist: %q", events, event.Names())
	}
}

// Every reason that the metrics have is in docs/operating, and no other.
func TestDocumentedReasons(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	document, err := os.ReadFile("../docs/operating/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(document), "### Reasons\n")
	table, _, _ = strings.Cut(table, "\n\n`other`")
	var documented, existing []string
	for row := range strings.Lines(table) {
		if cells := strings.Split(row, "|"); len(cells) == 5 {
			for _, match := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
				documented = append(documented, match[1])
			}
		}
	}
	for _, match := range regexp.MustCompile(`caddy_romm_oidc_sessions_ended_total\{reason="([a-z_]+)"\}`).FindAllStringSubmatch(s.metrics(), -1) {
		if match[1] != "other" {
			existing = append(existing, match[1])
		}
	}
	slices.Sort(documented)
	slices.Sort(existing)
	if len(existing) == 0 || !slices.Equal(documented, existing) {
		t.Errorf("docs/operating documents the reasons\n%q, and the metrics have\n%q", documented, existing)
	}
}

// Every refusal after the ID token names the user whom the token named.
func TestRefusalsAfterTheIDTokenNameTheUser(t *testing.T) {
	for name, c := range map[string]struct {
		refuse func(s *stack)
		code   string
	}{
		"userinfo does not answer": {func(s *stack) {
			s.authelia.Misbehave(func(m *authelia.Misbehaviour) { m.Fail("userinfo", authelia.Fault{Status: 502}) })
		}, "provider_unavailable"},
		"userinfo is another user's":     {userinfo("sub", "someone-else"), "userinfo_invalid"},
		"no user name":                   {userinfo("preferred_username", ""), "username_missing"},
		"no e-mail address":              {userinfo("email", nil), "email_missing"},
		"two e-mail addresses":           {userinfo("email", []string{"a@example.com", "b@example.com"}), "email_missing"},
		"an address outside ASCII":       {userinfo("email", "bób@example.com"), "email_not_ascii"},
		"an address that is not checked": {userinfo("email_verified", false), "email_unverified"},
		"RomM does not answer":           {func(s *stack) { s.romm.Down() }, "romm_unreachable"},
		"RomM fails at its callback": {func(s *stack) {
			s.romm.Fault("/api/oauth/openid", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		}, "romm_cannot_reach_caddy"},
	} {
		t.Run(name, func(t *testing.T) {
			global, lines := auditLog(t)
			s := start(t, options{global: global, directive: rolesByMail})
			s.as("alice") // RomM's administrator
			b := s.browser()
			location := b.callback("/", "bob")
			c.refuse(s)
			b.open(location)
			var last map[string]any
			eventually(t, func() bool {
				all := lines()
				last = all[len(all)-1]
				return last["event"] == "refused"
			})
			if last["sub"] != s.authelia.Subject("bob") || last["code"] != c.code {
				t.Errorf("the audit log has %v, want %s for the subject %s", last, c.code, s.authelia.Subject("bob"))
			}
		})
	}
}

// userinfo makes userinfo name value for claim, or leave it out if it is nil.
func userinfo(claim string, value any) func(*stack) {
	return func(s *stack) {
		s.authelia.Misbehave(func(m *authelia.Misbehaviour) {
			m.Userinfo = func(claims map[string]any) any {
				if claims[claim] = value; value == nil {
					delete(claims, claim)
				}
				return claims
			}
		})
	}
}

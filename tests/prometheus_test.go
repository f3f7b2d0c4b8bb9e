// A real Prometheus reads the metrics of a running Caddy: the dashboard's queries
// and the alert rules work there.

package tests

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// promtool's tests of the alert rules pass, and it finds nothing wrong with them.
func TestAlertRules(t *testing.T) {
	promtool := prometheusTool(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		command := exec.CommandContext(t.Context(), promtool, args...)
		command.Dir = "../docs/operating"
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %q: %v\n%s", args, err, output)
		}
	}
}

// Every alert rule has a test that fires it.
func TestAlertRulesAreTested(t *testing.T) {
	rules, tests := operating(t, "alerts.yml"), operating(t, "alerts_test.yml")
	for _, match := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(rules, -1) {
		if !strings.Contains(tests, "alertname: "+match[1]+"\n        exp_alerts:\n          - exp_labels") {
			t.Errorf("no test in alerts_test.yml fires %s", match[1])
		}
	}
}

// operating returns a file of docs/operating.
func operating(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../docs/operating", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// prometheus starts a Prometheus that reads Caddy's metrics, and returns its URL.
func (s *stack) prometheus() string {
	t := s.t
	program := prometheusTool(t, "prometheus")
	rules, err := filepath.Abs("../docs/operating/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	folder, listen := t.TempDir(), address(t)
	config := "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: ['" + rules + "']\n" +
		"scrape_configs: [{job_name: caddy, static_configs: [{targets: ['localhost:2999']}]}]\n"
	if err := os.WriteFile(filepath.Join(folder, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, "--config.file", filepath.Join(folder, "prometheus.yml"),
		"--storage.tsdb.path", filepath.Join(folder, "data"), "--web.listen-address", listen, "--log.level", "warn")
	var log strings.Builder
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Log("Prometheus logged:\n" + log.String())
		}
	})
	return "http://" + listen
}

// query returns how many series an expression has, or false if Prometheus
// does not answer it.
func query(t *testing.T, prometheus, expr string) (series int, ok bool) {
	t.Helper()
	answer, err := http.Get(prometheus + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return 0, false
	}
	defer answer.Body.Close()
	var result struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(answer.Body).Decode(&result); err != nil {
		return 0, false
	}
	if result.Status != "success" {
		t.Errorf("%s: %s", expr, result.Error)
		return 0, false
	}
	return len(result.Data.Result), true
}

// queries returns the queries of the dashboard, by the titles of their panels.
func queries(t *testing.T) map[string][]string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(operating(t, "dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all[panel.Title] = append(all[panel.Title], strings.NewReplacer("$job", "caddy", "$__rate_interval", "1h").Replace(target.Expr))
		}
	}
	return all
}

// Every query of the dashboard has an answer at a Prometheus that read the metrics
// of a running Caddy, and the dashboard shows every metric.
func TestDashboard(t *testing.T) {
	s := start(t, options{directive: rolesByMail + recheckSoon})
	prometheus := s.prometheus()
	all := queries(t)
	text := operating(t, "dashboard.json")
	for name := range exposed(t, s.metrics()) {
		if !strings.Contains(text, name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	// The rates of what happens need two samples, one before and one after.
	waitFor(t, "the first scrape", func() bool { n, ok := query(t, prometheus, `caddy_romm_oidc_sessions_in_memory`); return ok && n == 1 })
	alice := s.as("alice")
	alice.fetch("/api/users/me", "Origin", "https://evil.example")
	s.romm.DropSessions()
	alice.in() // signs in to RomM again
	s.as("bob")
	for _, user := range []string{"alice", "bob"} {
		if output, code := s.command("sessions", "end-user", user); code != 0 {
			t.Fatal(output)
		}
	}
	alice = s.as("alice")
	for title, expressions := range all {
		for _, expr := range expressions {
			waitFor(t, "data of the panel "+title+": "+expr, func() bool {
				alice.in()
				n, ok := query(t, prometheus, expr)
				return t.Failed() || ok && n > 0
			})
		}
	}
}

// waitFor is eventually with the patience that a Prometheus on a busy machine needs.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("after 90 s there is no " + what)
		}
	}
}

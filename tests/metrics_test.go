// Metrics: what a running Caddy exposes is what the documentation lists.

package tests

import (
	"bufio"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const metricsURL = "http://localhost:2999/metrics"

// metric is a metric as Caddy exposes it: its type, and the names of its labels
// without those of histograms.
type metric struct {
	kind   string
	labels []string
}

// exposed returns the gate's metrics that Caddy exposes.
func exposed(t *testing.T, text string) map[string]metric {
	t.Helper()
	all := map[string]metric{}
	family := ""
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) == 4 && fields[1] == "TYPE" {
			family = fields[2]
			if strings.HasPrefix(family, "caddy_romm_oidc_") {
				all[family] = metric{kind: fields[3]}
			}
			continue
		}
		if !strings.HasPrefix(line, "caddy_romm_oidc_") {
			continue
		}
		known := all[family]
		for _, label := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(line, -1) {
			if label[1] != "le" && !slices.Contains(known.labels, label[1]) {
				known.labels = append(known.labels, label[1])
			}
		}
		slices.Sort(known.labels)
		all[family] = known
	}
	return all
}

// value returns the value of a series, and 0 if there is none.
func value(t *testing.T, text, series string) float64 {
	t.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// metrics returns what Caddy exposes.
func (s *stack) metrics() string { return s.browser().do(metricsURL).body }

// docs/operating lists every metric with its type and labels, and no others.
func TestDocumentedMetrics(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	s.browser().fetch("/api/users/me")
	document, err := os.ReadFile("../docs/operating/README.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]metric{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(caddy_romm_oidc_[a-z_]+)(?:\\{([a-z_,]+)\\})?` \\| ([a-z]+) \\| [^|]+ \\| [^|]+ \\|$").FindAllStringSubmatch(string(document), -1) {
		var labels []string
		if row[2] != "" {
			labels = slices.Sorted(slices.Values(strings.Split(row[2], ",")))
		}
		documented[row[1]] = metric{row[3], labels}
	}
	got := exposed(t, s.metrics())
	same := func(a, b metric) bool { return a.kind == b.kind && slices.Equal(a.labels, b.labels) }
	if len(documented) == 0 || !maps.EqualFunc(documented, got, same) {
		t.Errorf("docs/operating documents the metrics\n%v, and Caddy exposes\n%v", documented, got)
	}
	if strings.Contains(s.metrics(), "alice") {
		t.Error("the metrics contain the user's name")
	}
}

// promtool finds nothing to complain about in the gate's metrics.
func TestMetricsFollowPrometheusConventions(t *testing.T) {
	promtool := prometheusTool(t, "promtool")
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	s.browser().fetch("/api/users/me")
	var ours strings.Builder // Caddy's own break the rules
	lines := bufio.NewScanner(strings.NewReader(s.metrics()))
	for lines.Scan() {
		if strings.Contains(lines.Text(), "caddy_romm_oidc_") {
			ours.WriteString(lines.Text() + "\n")
		}
	}
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = strings.NewReader(ours.String())
	if output, err := check.CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("promtool check metrics: %v, and it says:\n%s", err, output)
	}
}

// prometheusTool returns the path of a program of Debian's package prometheus.
func prometheusTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		skipOrFail(t, name+" is missing: install Debian's package prometheus")
	}
	return path
}

// skipOrFail skips a test that needs what is not installed. In CI it fails.
func skipOrFail(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// One fact is one count: a refused sign-in is no refusal besides, a sign-out
// ends one session, and a session that ends is counted once.
func TestFactsAreCountedOnce(t *testing.T) {
	s := start(t, options{directive: rolesByMail + "allow {\n emails alice@example.com\n}\n"})
	before := s.metrics()
	counted := func() map[string]float64 {
		t.Helper()
		changed, now := map[string]float64{}, s.metrics()
		for line := range strings.Lines(now) {
			name, _, _ := strings.Cut(line, "{")
			switch name {
			case "caddy_romm_oidc_sign_ins_total", "caddy_romm_oidc_refusals_total", "caddy_romm_oidc_sessions_ended_total", "caddy_romm_oidc_brokered_sign_ins_total":
				series := line[:strings.LastIndex(line, " ")]
				if n := value(t, now, series) - value(t, before, series); n != 0 {
					changed[strings.TrimPrefix(series, "caddy_romm_oidc_")] = n
				}
			}
		}
		before = now
		return changed
	}
	bob := s.browser()
	bob.signIn("/", "bob")
	if got, want := counted(), map[string]float64{`sign_ins_total{outcome="not_allowed"}`: 1}; !maps.Equal(got, want) {
		t.Errorf("a sign-in that allow refuses counted %v, want %v", got, want)
	}
	alice := s.as("alice")
	if got, want := counted(), map[string]float64{`sign_ins_total{outcome="ok"}`: 1}; !maps.Equal(got, want) {
		t.Errorf("a sign-in counted %v, want %v", got, want)
	}
	if answer := alice.fetch("POST /api/logout", "Origin", public); answer.StatusCode != http.StatusOK {
		t.Fatalf("the sign-out answered %d: %s", answer.StatusCode, answer.body)
	}
	if got, want := counted(), map[string]float64{`sessions_ended_total{reason="signed_out"}`: 1}; !maps.Equal(got, want) {
		t.Errorf("a sign-out counted %v, want %v", got, want)
	}
	s.browser().fetch("/api/users/me")
	if got, want := counted(), map[string]float64{`refusals_total{code="not_signed_in"}`: 1}; !maps.Equal(got, want) {
		t.Errorf("an anonymous request counted %v, want %v", got, want)
	}
}

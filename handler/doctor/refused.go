// A configuration file that Caddy refuses: what its error says becomes a finding.

package doctor

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	placed   = regexp.MustCompile(`, at (\S+?):(\d+)`)
	advised  = regexp.MustCompile(`[Ww]rite "([^"]+)"`)
	insecure = regexp.MustCompile(`write http:// before it: (\S+?),? `)
)

// Refused returns the report on a configuration file with this text that Caddy
// refuses. It finds the line in the error, and what the error says to write.
func Refused(why, file, text string) *Report {
	r := &Report{Facts: []string{}, Checked: []string{"the configuration file"}, Skipped: []string{"everything else: Caddy does not accept the file"}}
	finding := Finding{Seen: why, Expected: "a configuration that Caddy accepts"}
	lines := strings.Split(text, "\n")
	if match := placed.FindStringSubmatch(why); match != nil {
		number, err := strconv.Atoi(match[2])
		finding.Line = match[1] + ":" + match[2]
		if err == nil && number >= 1 && number <= len(lines) && filepath.Base(match[1]) == filepath.Base(file) {
			finding.at(file, number, lines[number-1])
		}
	}
	code := "config_refused"
	for part, specific := range refusals {
		if strings.Contains(why, part) {
			code = specific
		}
	}
	r.add(code, finding)
	return r
}

// refusals are the codes of what the error of a refused file says.
var refusals = map[string]string{
	"no reverse_proxy follows":       "config_no_proxy",
	"two romm_oidc directives":       "config_second_gate",
	"forward_auth refuses":           "config_forward_auth",
	"strips a part of the path":      "config_path_stripped",
	"rewrite changes the path":       "config_rewrite",
	"no site with romm_oidc answers": "config_redirect_host",
	"is served over TLS":             "config_inside_tls",
	"the digest for Authelia":        "config_secret_digest",
	"it has quotes around it":        "config_secret_quoted",
	"is this site itself":            "config_issuer_is_site",
	"this handler's own endpoint":    "config_issuer_is_site",
	"environment variable":           "config_secret_unset",
}

// at says that the error is about a line of file, and what to put there.
func (f *Finding) at(file string, number int, line string) {
	line = strings.TrimSpace(line)
	word, _, _ := strings.Cut(line, " ")
	secret := strings.HasSuffix(word, "secret")
	if secret {
		line = word + " …"
	}
	f.Line = fmt.Sprintf("%s:%d: %s", file, number, line)
	match, inner := advised.FindStringSubmatch(f.Seen), insecure.FindStringSubmatch(f.Seen)
	switch {
	case match != nil && (match[1] == word || strings.HasPrefix(match[1], word+" ")):
		f.Write = match[1]
	case match != nil && len(strings.Fields(line)) == 2 && !strings.HasSuffix(match[1], "{"):
		f.Write = word + " " + match[1]
	case word == "handle_path":
		f.Write = "handle {"
	case inner != nil:
		f.Write = strings.Replace(line, strings.TrimPrefix(inner[1], "http://"), inner[1], 1)
	case slices.Contains([]string{"forward_auth", "rewrite", "uri"}, word):
		f.Remove = true
	}
}

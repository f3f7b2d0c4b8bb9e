// Where something stands in a Caddyfile, and what an unknown word may be.

package rommoidc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterDirective("romm-oidc", func(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
		h.Next()
		return nil, h.Err("the directive is called romm_oidc: \"caddy romm-oidc\" is the command")
	})
}

// place is where a token stands in a Caddyfile.
type place struct{ at caddyfile.Dispenser }

// placeOf returns the place of the current token of d.
func placeOf(d *caddyfile.Dispenser) place { return place{*d} }

// wrap adds the file and line to err.
func (p place) wrap(err error) error { return p.at.WrapErr(err) }

// String returns the file and line.
func (p place) String() string { return fmt.Sprintf("%s:%d", p.at.File(), p.at.Line()) }

// directives are Caddy's own that may follow the block if its brace is missing.
var directives = []string{"reverse_proxy", "handle", "handle_errors", "handle_path", "route", "respond", "encode", "log", "tls", "header", "file_server", "import", "bind", "redir"}

// unknown returns the error for a word that the block called where does not
// take.
func unknown(where, word string, known []string) error {
	hint := ""
	if slices.Contains(directives, word) {
		hint = fmt.Sprintf(". It is a directive of the site: is the } missing that closes %s?", where)
	}
	for _, candidate := range known {
		if near(word, candidate) {
			hint = fmt.Sprintf(". Did you mean %q?", candidate)
		}
	}
	return fmt.Errorf("%s does not know %q: it takes %v%s", where, word, known, hint)
}

// near reports whether two words differ in little: in the case, in one
// character more or less at the end, or in dashes and underscores.
func near(a, b string) bool {
	plain := func(word string) string {
		return strings.TrimSuffix(strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(word)), "s")
	}
	a, b = plain(a), plain(b)
	return a == b || len(a) > 3 && (strings.HasPrefix(b, a) && len(b)-len(a) < 3 || strings.HasPrefix(a, b) && len(b) > 3 && len(a)-len(b) < 3)
}

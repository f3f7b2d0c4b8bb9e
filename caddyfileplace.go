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
	bare := word
	if sign := strings.IndexAny(word, "=:"); sign >= 0 { // what follows may be a secret
		bare, word = word[:sign], word[:sign+1]
	}
	if best, ok := nearest(bare, known); ok {
		hint = fmt.Sprintf(". Did you mean %q?", best)
	}
	if slices.Contains(directives, word) {
		hint = fmt.Sprintf(". It is a directive of the site: is the } missing that closes %s?", where)
	}
	return fmt.Errorf("%s does not know %q: it takes %v%s", where, word, known, hint)
}

// nearest returns the known word that differs from word in little: in the case, in
// dashes and underscores, or in up to two characters at one place.
func nearest(word string, known []string) (best string, ok bool) {
	plain := func(word string) string {
		return strings.TrimSuffix(strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(word)), "s")
	}
	a, least := plain(word), 3
	for _, candidate := range known {
		b := plain(candidate)
		shorter, start, end := min(len(a), len(b)), 0, 0
		for start < shorter && a[start] == b[start] {
			start++
		}
		for end < shorter-start && a[len(a)-1-end] == b[len(b)-1-end] {
			end++
		}
		if differ := max(len(a), len(b)) - start - end; start > 1 && differ < least {
			best, least = candidate, differ
		}
	}
	return best, best != ""
}

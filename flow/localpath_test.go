// Tests of return paths.

package flow

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// Shapes from the public corpora of open redirects (GHSA-5m6c, GHSA-j7px and
// GHSA-qqxw of oauth2-proxy; CVE-2022-23527, CVE-2021-32786 and CVE-2021-39191
// of mod_auth_openidc; CVE-2024-21497), and shapes that parsers read differently.
var notLocal = []string{
	// empty, or not a path
	"", " ", "?", "#", "a", "a/b", "./a", "../a", "?a=b", ";a", ":80", "@evil.example", "*", "%2f", "%2Fevil.example", "%5cevil.example",
	// absolute
	"https://evil.example", "https://evil.example/", "http://evil.example", "HTTPS://evil.example", "hTtPs://evil.example", "https:evil.example",
	"https:/evil.example", "https:///evil.example", "https:////evil.example", "https:\\\\evil.example", "https:/\\evil.example", "https:\\/evil.example",
	"https://romm.example.test", "https://romm.example.test@evil.example", "https://romm.example.test.evil.example", "https://evil.example/romm.example.test",
	"https://evil.example#romm.example.test", "https://evil.example?romm.example.test", "https://evil.example\\@romm.example.test", "https://[::1]/",
	"https://2130706433/", "https://0x7f.1/", "http:evil.example", "http:/evil.example", "ftp://evil.example", "file:///etc/passwd", "ws://evil.example",
	"blob:https://evil.example/1", "view-source:https://evil.example", "about:blank", "mailto:a@evil.example", "x-custom:evil", "://evil.example", ":///evil.example",
	// script
	"javascript:alert(1)", "JaVaScRiPt:alert(1)", "javascript://romm.example.test/%0aalert(1)", "java\tscript:alert(1)", "java\nscript:alert(1)", "\x01javascript:alert(1)",
	"data:text/html,<script>alert(1)</script>", "data:text/html;base64,PHNjcmlwdD4=", "vbscript:msgbox(1)", "javascript:/*/evil", "//javascript:alert(1)",
	// without a scheme
	"//evil.example", "//evil.example/", "//evil.example/%2f..", "///evil.example", "////evil.example", "/////evil.example/", "//evil.example:443/", "//evil.example@romm.example.test/",
	"//romm.example.test", "//romm.example.test@evil.example/", "//a:b@evil.example", "//", "///", "//?", "//#", "//[::1]", "//%65vil.example", "//evil%E3%80%82example", "//evil.example;a", "//.", "//..",
	// backslashes
	"/\\evil.example", "/\\/evil.example", "/\\\\evil.example", "\\/evil.example", "\\\\evil.example", "\\evil.example", "\\/\\/evil.example", "//\\evil.example", "/a\\b", "/a/\\evil.example",
	"\\", "/\\", "/a\\..\\..\\b", "/.\\evil.example",
	// white space and control characters, raw
	" //evil.example", "\t//evil.example", "\n//evil.example", "\r//evil.example", "\x00//evil.example", "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "/\r\n/evil.example",
	"/\t\\evil.example", "/\x00/evil.example", "/ /evil.example", "/\x0b/evil.example", "/\x0c/evil.example", "/\x1f/evil.example", "/\x7f/evil.example", "/\x85/evil.example", "/\xa0/evil.example",
	"/library\r\nSet-Cookie: a=b", "/library\r\n\r\n<script>", "/library ", " /library", "/lib rary", "/library\x00", "/library\t", "/library?a=\n", "\ufeff//evil.example", "\ufeff/library",
	// the same, encoded
	"/%2f/evil.example", "/%2fevil.example", "/%2F%2Fevil.example", "/%2f%2fevil.example", "/%5cevil.example", "/%5Cevil.example", "/%5c%5cevil.example", "/%2f%5cevil.example", "/%5c%2fevil.example",
	"/%09/evil.example", "/%0a/evil.example", "/%0d/evil.example", "/%0D%0A/evil.example", "/%00/evil.example", "/%00", "/%1f/evil.example", "/%7f/evil.example", "/library%00.png", "/library%0d%0aSet-Cookie:a=b",
	"/%09%2fevil.example", "/a%5c..%5cb", "/%5c", "/%2f", "/a/%0a",
	// encoded incorrectly
	"/%", "/%2", "/%zz", "/%u002f/evil.example", "/%%32%66evil.example", "/a%", "/%c", "/%-1",
	// dot segments
	"/.", "/..", "/./", "/../", "/.//evil.example", "/..//evil.example", "/a/..//evil.example", "/a/../..//evil.example", "/./../evil.example", "/%2e/%2fevil.example", "/%2e%2e//evil.example",
	"/.%2e//evil.example", "/%2e//evil.example", "/a/%2E%2E/%2Fevil.example", "/library/..", "/library/.", "/..%2f%2fevil.example", "/.%2f/evil.example", "/.%5cevil.example",
	// fragments
	"/#", "/#//evil.example", "/library#a", "/#@evil.example", "/library?a#b", "/a#\\evil.example",
	// characters that normalize to others
	"/\u2215evil.example", "\uff0f\uff0fevil.example", "/\uff0fevil.example", "/\uff3cevil.example", "/\u3002evil.example", "/\u2044evil.example", "/\u202eevil.example", "/b\u00fccher", "/\u200b/evil.example",
	"\u3000//evil.example", "/\u3000/evil.example", "/\u2028/evil.example", "/\u00a0/evil.example", "/\xff\xfe", "/\xc0\xaf/evil.example", "/\xe0\x80\xaf", "/\u0130",
	// too long
	"/" + strings.Repeat("a", returnToLimit), "/?" + strings.Repeat("a", returnToLimit-1),
}

// Paths that browsers request, and unusual ones that are still local.
var local = []string{
	"/", "/library", "/library/", "/library?platform=3&sort=name", "/rom/1234", "/rom/1234?tab=saves", "/?a", "/?", "/?%", "/?a=%zz", "/library?", "/login?next=%2From%2F1",
	"/collection/a%20b", "/rom/%E3%83%9D%E3%82%B1%E3%83%A2%E3%83%B3", "/search?q=%23%26%3D%2B+a", "/a//b", "/a/%2Fb", "/assets/romm/resources/a%2Cb%27c.png?ts=2026-11-24%2012:00",
	"/https://evil.example", "/evil.example", "/@evil.example", "/:80", "/;a=b", "/a:b@c", "/?next=https://evil.example", "/?next=//evil.example", "/?next=%5C%5Cevil", "/?a=%0d%0a", "/a?b?c", "/a?//b", "/library?a=\\b", "/?\\evil.example", "/a?\\\\b",
	"/.well-known/x", "/...", "/.../a", "/a/.hidden", "/a..b/c", "/..a", "/a.", "/a/b..", "/%252f%252fevil.example", "/%2525", "/~alice", "/a!$&'()*+,;=:@-._~", "/<b>", "/\"'", "/{a}|^`", "/javascript:alert(1)",
	"/" + strings.Repeat("a", returnToLimit-1), "/?" + strings.Repeat("a", returnToLimit-2),
}

func TestLocalPath(t *testing.T) {
	t.Parallel()
	if len(notLocal) < 120 {
		t.Errorf("%d shapes, want more", len(notLocal))
	}
	seen := map[string]bool{}
	for _, target := range notLocal {
		if seen[target] {
			t.Errorf("%.60q is in the list twice, want once", target)
		}
		seen[target] = true
		if LocalPath(target) {
			t.Errorf("LocalPath(%.60q) = false, want true", target)
		}
	}
	for _, target := range local {
		if !LocalPath(target) {
			t.Errorf("LocalPath(%.60q) = true, want false", target)
		}
		if err := staysHere(target); err != nil {
			t.Errorf("browsers leave the site: %v, want a local path", err)
		}
	}
}

// A local path survives the cookie byte for byte.
func TestReturnToIsKept(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, target := range local {
		login := h.newLogin(target)
		cookie := h.cookie(login)
		got, _, err := h.rp.FindLogin(t.Context(), testPrefix, cookies(cookie), login.State)
		if err != nil || got.ReturnTo != target {
			t.Errorf("%.60q: login = %+v, %v, want one to it", target, got, err)
		}
	}
	for _, target := range notLocal {
		if login := h.newLogin(target); login.ReturnTo != "/" {
			t.Errorf("%.60q: the login returns to %q, want /", target, login.ReturnTo)
		}
	}
}

// staysHere reads target as browsers do (https://url.spec.whatwg.org/#url-parsing),
// and again after decoding. It returns an error if either leaves the site.
func staysHere(target string) error {
	base := &url.URL{Scheme: "https", Host: "romm.example.test", Path: "/api/oauth/openid"}
	readings := []string{target}
	if decoded, err := url.PathUnescape(target); err == nil { // a query may hold a lone "%"
		readings = append(readings, decoded)
	}
	for _, read := range readings {
		path, _, _ := strings.Cut(read, "?")
		path = strings.NewReplacer("\t", "", "\n", "", "\r", "", "\\", "/").Replace(strings.Trim(path, " "))
		if strings.HasPrefix(path, "//") || !strings.HasPrefix(path, "/") {
			return fmt.Errorf("%.60q is read as %.60q", target, path)
		}
	}
	u, err := url.Parse(target)
	if err != nil {
		return fmt.Errorf("%.60q: %w", target, err)
	}
	if there := base.ResolveReference(u); there.Host != base.Host || there.Scheme != base.Scheme || strings.HasPrefix(there.Path, "//") {
		return fmt.Errorf("%.60q leads to %s", target, there)
	}
	return nil
}

func FuzzLocalPath(f *testing.F) {
	for _, target := range append(append([]string{}, notLocal...), local...) {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if !LocalPath(target) {
			return
		}
		if err := staysHere(target); err != nil {
			t.Errorf("LocalPath accepts what leaves the site: %v, want it refused", err)
		}
		if len(target) > returnToLimit || strings.ContainsAny(target, "\r\n\x00#") {
			t.Errorf("LocalPath accepts %q, want it refused", target)
		}
	})
}

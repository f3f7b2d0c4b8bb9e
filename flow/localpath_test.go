package flow

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// Shapes from the public corpora of open redirects (GHSA-5m6c, GHSA-j7px and
// GHSA-qqxw of oauth2-proxy; CVE-2022-23527, CVE-2021-32786 and CVE-2021-39191
// of mod_auth_openidc; CVE-2024-21497), and what parsers are known to disagree on.
var notLocal = []string{
	// nothing, and no path
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
	// of no scheme
	"//evil.example", "//evil.example/", "//evil.example/%2f..", "///evil.example", "////evil.example", "/////evil.example/", "//evil.example:443/", "//evil.example@romm.example.test/",
	"//romm.example.test", "//romm.example.test@evil.example/", "//a:b@evil.example", "//", "///", "//?", "//#", "//[::1]", "//%65vil.example", "//evil%E3%80%82example", "//evil.example;a", "//.", "//..",
	// backslashes
	"/\\evil.example", "/\\/evil.example", "/\\\\evil.example", "\\/evil.example", "\\\\evil.example", "\\evil.example", "\\/\\/evil.example", "//\\evil.example", "/a\\b", "/a/\\evil.example",
	"/library?a=\\b", "\\", "/\\", "/a\\..\\..\\b", "/.\\evil.example",
	// white space and control characters, raw
	" //evil.example", "\t//evil.example", "\n//evil.example", "\r//evil.example", "\x00//evil.example", "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "/\r\n/evil.example",
	"/\t\\evil.example", "/\x00/evil.example", "/ /evil.example", "/\x0b/evil.example", "/\x0c/evil.example", "/\x1f/evil.example", "/\x7f/evil.example", "/\x85/evil.example", "/\xa0/evil.example",
	"/library\r\nSet-Cookie: a=b", "/library\r\n\r\n<script>", "/library ", " /library", "/lib rary", "/library\x00", "/library\t", "/library?a=\n", "\ufeff//evil.example", "\ufeff/library",
	// and encoded
	"/%2f/evil.example", "/%2fevil.example", "/%2F%2Fevil.example", "/%2f%2fevil.example", "/%5cevil.example", "/%5Cevil.example", "/%5c%5cevil.example", "/%2f%5cevil.example", "/%5c%2fevil.example",
	"/%09/evil.example", "/%0a/evil.example", "/%0d/evil.example", "/%0D%0A/evil.example", "/%00/evil.example", "/%00", "/%1f/evil.example", "/%7f/evil.example", "/library%00.png", "/library%0d%0aSet-Cookie:a=b",
	"/%09%2fevil.example", "/a%5c..%5cb", "/%5c", "/%2f", "/a/%0a",
	// encoded wrongly
	"/%", "/%2", "/%zz", "/%u002f/evil.example", "/%%32%66evil.example", "/a%", "/%c", "/%-1",
	// dot segments
	"/.", "/..", "/./", "/../", "/.//evil.example", "/..//evil.example", "/a/..//evil.example", "/a/../..//evil.example", "/./../evil.example", "/%2e/%2fevil.example", "/%2e%2e//evil.example",
	"/.%2e//evil.example", "/%2e//evil.example", "/a/%2E%2E/%2Fevil.example", "/library/..", "/library/.", "/..%2f%2fevil.example", "/.%2f/evil.example", "/.%5cevil.example",
	// fragments
	"/#", "/#//evil.example", "/library#a", "/#@evil.example", "/library?a#b", "/a#\\evil.example",
	// letters that become others
	"/\u2215evil.example", "\uff0f\uff0fevil.example", "/\uff0fevil.example", "/\uff3cevil.example", "/\u3002evil.example", "/\u2044evil.example", "/\u202eevil.example", "/b\u00fccher", "/\u200b/evil.example",
	"\u3000//evil.example", "/\u3000/evil.example", "/\u2028/evil.example", "/\u00a0/evil.example", "/\xff\xfe", "/\xc0\xaf/evil.example", "/\xe0\x80\xaf", "/\u0130",
	// too long
	"/" + strings.Repeat("a", returnToLimit), "/?" + strings.Repeat("a", returnToLimit-1),
}

// What a browser really asks for, and what only looks odd.
var local = []string{
	"/", "/library", "/library/", "/library?platform=3&sort=name", "/rom/1234", "/rom/1234?tab=saves", "/?a", "/?", "/?%", "/?a=%zz", "/library?", "/login?next=%2From%2F1",
	"/collection/a%20b", "/rom/%E3%83%9D%E3%82%B1%E3%83%A2%E3%83%B3", "/search?q=%23%26%3D%2B+a", "/a//b", "/a/%2Fb", "/assets/romm/resources/a%2Cb%27c.png?ts=2026-11-24%2012:00",
	"/https://evil.example", "/evil.example", "/@evil.example", "/:80", "/;a=b", "/a:b@c", "/?next=https://evil.example", "/?next=//evil.example", "/?next=%5C%5Cevil", "/?a=%0d%0a", "/a?b?c", "/a?//b",
	"/.well-known/x", "/...", "/.../a", "/a/.hidden", "/a..b/c", "/..a", "/a.", "/a/b..", "/%252f%252fevil.example", "/%2525", "/~alice", "/a!$&'()*+,;=:@-._~", "/<b>", "/\"'", "/{a}|^`", "/javascript:alert(1)",
	"/" + strings.Repeat("a", returnToLimit-1), "/?" + strings.Repeat("a", returnToLimit-2),
}

func TestLocalPath(t *testing.T) {
	t.Parallel()
	if len(notLocal) < 120 {
		t.Errorf("only %d shapes", len(notLocal))
	}
	seen := map[string]bool{}
	for _, target := range notLocal {
		if seen[target] {
			t.Errorf("%.60q is here twice", target)
		}
		seen[target] = true
		if LocalPath(target) {
			t.Errorf("%.60q is no path of ours", target)
		}
	}
	for _, target := range local {
		if !LocalPath(target) {
			t.Errorf("%.60q is a path of ours", target)
		}
		if err := staysHere(target); err != nil {
			t.Error(err)
		}
	}
}

// A path of ours comes back byte for byte, through the cookie and all.
func TestReturnToIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, target := range local {
		login := w.newLogin(target)
		cookie := w.cookie(login)
		got, _, err := w.rp.FindLogin(t.Context(), testPrefix, cookies(cookie), login.State)
		if err != nil || got.ReturnTo != target {
			t.Errorf("%.60q: got %+v, %v", target, got, err)
		}
	}
	for _, target := range notLocal {
		if login := w.newLogin(target); login.ReturnTo != "/" {
			t.Errorf("%.60q: got %q", target, login.ReturnTo)
		}
	}
}

// staysHere reads target as browsers do (WHATWG URL, section 4.4), and once
// more after decoding, and says where it leads elsewhere.
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
			t.Error(err)
		}
		if len(target) > returnToLimit || strings.ContainsAny(target, "\r\n\x00\\#") {
			t.Errorf("took %q", target)
		}
	})
}

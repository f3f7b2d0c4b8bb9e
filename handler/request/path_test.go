// The normal path.

package request

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

func TestNormalPath(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		target string
		normal string
		plain  bool
		ok     bool
	}{
		"plain":                 {"/api/roms", "/api/roms", true, true},
		"root":                  {"/", "/", true, true},
		"trailing slash":        {"/api/roms/", "/api/roms", true, true},
		"path in the query":     {"/api/roms?x=/api/heartbeat", "/api/roms", true, true}, // CVE-2025-54576
		"double slash":          {"/api//heartbeat", "/api/heartbeat", false, true},
		"leading double slash":  {"//api/heartbeat", "/api/heartbeat", false, true},
		"dot segment":           {"/api/x/../heartbeat", "/api/heartbeat", false, true},
		"encoded dots":          {"/api/x/%2e%2e/heartbeat", "/api/heartbeat", false, true},
		"encoded slash":         {"/api%2fheartbeat", "/api/heartbeat", false, true},
		"encoded backslash":     {"/api%5cheartbeat", "/api/heartbeat", false, true},
		"encoded letter":        {"/api/%68eartbeat", "/api/heartbeat", false, true},
		"encoded question mark": {"/api/heartbeat%3fx", "/api/heartbeat?x", false, true},
		"encoded hash":          {"/api/heartbeat%23x", "/api/heartbeat#x", false, true}, // CVE-2026-41059
		"twice encoded":         {"/api/%252e", "/api/%2e", false, true},
		"path parameter":        {"/api/heartbeat;x", "/api/heartbeat;x", false, true},
		"hidden file":           {"/.well-known/x", "/.well-known/x", true, true},
		"dot in a name":         {"/api/roms/1/content/a.zip", "/api/roms/1/content/a.zip", true, true},
		"not ASCII":             {"/%C3%BC", "/\u00fc", false, true},
		"encoded NUL":           {"/api/heartbeat%00", "", false, false},
		"encoded line feed":     {"/api/heartbeat%0a", "", false, false},
		"DEL":                   {"/api/heartbeat%7f", "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, c.target, nil)
			normal, plain, ok := NormalPath(r)
			if normal != c.normal || plain != c.plain || ok != c.ok {
				t.Errorf("NormalPath(%q) = %q, %v, %v, want %q, %v, %v", c.target, normal, plain, ok, c.normal, c.plain, c.ok)
			}
		})
	}
	t.Run("raw hash", func(t *testing.T) {
		t.Parallel()
		r := httptest.NewRequest(http.MethodGet, "/api/roms", nil)
		r.RequestURI = "/api/roms#/api/heartbeat"
		if _, _, ok := NormalPath(r); ok {
			t.Error("NormalPath accepted a raw # in the request line, want ok = false")
		}
	})
}

// A path is ambiguous if two servers could read it differently. The last segments
// may be names, which stay names however often they are decoded.
func TestAmbiguous(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]struct{ plain, name bool }{ // ambiguous with no name, and with one
		"/api/roms":                    {false, false},
		"//api//roms//":                {false, false},
		"/a/b(c)%20d,e;f=g":            {false, false},
		"/a/%3D%3D":                    {false, false},
		"/a/%C3%BC":                    {false, false},
		"/a/\u00fc":                    {false, false},
		"/a/...b":                      {false, false},
		"/a/%41b":                      {true, false},
		"/a/b%7E":                      {true, false},
		"/a/100%25":                    {true, false},
		"/a/b%2520c":                   {true, false},
		"/a/%ff":                       {true, false},
		"/a/..;x":                      {true, false},
		"/%61/b":                       {true, true},
		"/a%25/b":                      {true, true},
		"/a/..;x/b":                    {true, true},
		"/a/./b":                       {true, true},
		"/a/../b":                      {true, true},
		"/a/..":                        {true, true},
		"/a/%2e%2E":                    {true, true},
		"/a/%252e.":                    {true, true},
		"/a/b%2Fc":                     {true, true},
		"/a/b%2fc":                     {true, true},
		"/a/b%252fc":                   {true, true},
		"/a/b%25252Fc":                 {true, true},
		"/a/100%25%252fb":              {true, true},
		"/a/b%5Cc":                     {true, true},
		"/a/b\\c":                      {true, true},
		"/a/b%255cc":                   {true, true},
		"/a/b%250a":                    {true, true},
		"/a/%252525252525zz":           {true, false},
		"/a/%25252525252525252525252e": {true, true}, // more than any client encodes
	} {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			t.Fatal(err)
		}
		if plain, name := Ambiguous(u, 0), Ambiguous(u, 1); plain != want.plain || name != want.name {
			t.Errorf("Ambiguous(%q) = %v, with a name %v, want %v and %v", path, plain, name, want.plain, want.name)
		}
	}
}

func TestMergeSlashes(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{"/a/b": "/a/b", "//a///b//": "/a/b/", "//a(//%C3%BC": "/a(/%C3%BC", "//a//(?x=//y": "/a/(?x=//y"} {
		r := httptest.NewRequest(http.MethodGet, "https://romm.example.com"+written, nil)
		original := r.URL
		MergeSlashes(r)
		if got := r.URL.RequestURI(); got != want {
			t.Errorf("MergeSlashes(%q) made it %q, want %q", written, got, want)
		}
		if got := original.RequestURI(); got != written {
			t.Errorf("MergeSlashes(%q) changed the client's own URL to %q", written, got)
		}
	}
}

func FuzzNormalPath(f *testing.F) {
	for _, seed := range []string{"/", "/a/../b", "/%2e%2e/", "/a//b", `/a\b`, "/a;b", "/./"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = path
		normal, plain, ok := NormalPath(r)
		if !ok {
			return
		}
		r.URL.Path = normal
		again, _, ok := NormalPath(r)
		if !ok || again != normal {
			t.Errorf("NormalPath(%q) = %q, but NormalPath of that is %q, want it unchanged", path, normal, again)
		}
		if plain && normal != path && normal+"/" != path {
			t.Errorf("NormalPath(%q) = %q is plain, want plain = false for a changed path", path, normal)
		}
	})
}

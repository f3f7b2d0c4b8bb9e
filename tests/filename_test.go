// File names as the clients write them into URLs.

package tests

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// fileNames are names of files as they occur in libraries.
var fileNames = []string{
	"Game.zip", "Game (USA).zip", "Super Mario World (USA) [!].sfc", "Pokemon - Red Version (USA, Europe) (SGB Enhanced).gb",
	"Tony Hawk's Pro Skater 2 (USA).bin", "Ratchet & Clank (Europe) (En,Fr,De,Es,It).iso", "Rock n' Roll Racing.smc", "Game + Bonus.zip",
	"F-Zero #1.zip", "100% Complete.zip", "100%.zip", "%41.zip", "%2.zip", "50%25 off.zip", "a;b=c.zip", "Zelda: Ocarina.z64", "Who? What?.zip",
	"Pokémon Édition Rouge.gb", "Pokémon.gb", "Ys Ⅰ・Ⅱ (日本).iso", "スーパーマリオ.nes", "포켓몬스터.gba", "Тетрис.nes", "🎮 Party 🕹️.zip", "ÀÉÎÕÜß.zip",
	".hidden.zip", "..hidden.zip", "...And Justice.zip", "trailing dot.", "a..b.zip", "~tilde~.zip", "under_score-dash.zip", "UPPER.ZIP", "no extension",
	"!Bang!.zip", "$Dollar$.zip", "@At@.zip", "a^b.zip", "a`b.zip", "{Proto}.zip", "a|b.zip", "\"Quoted\".zip", "<Angle>.zip", "star*.zip", "a=b.zip",
	" leading space.zip", "two  spaces.zip", "comma,comma.zip", "a'b(c)d!e*f.zip", "[BIOS] X (W).zip", "api", "content", "users",
	strings.Repeat("x", 251) + ".zip", strings.Repeat("é", 125) + ".zip", strings.Repeat("(", 251) + ".zip",
}

// An encoder writes a file name as a segment of a URL's path, as one client does.
type encoder func(name string) string

// percentEncode encodes the bytes of s that are not among kept.
func percentEncode(s string, kept func(c byte) bool) string {
	var encoded strings.Builder
	for i := range len(s) {
		if c := s[i]; kept(c) {
			encoded.WriteByte(c)
		} else {
			encoded.WriteString("%" + strings.ToUpper(string("0123456789abcdef"[c>>4])+string("0123456789abcdef"[c&15])))
		}
	}
	return encoded.String()
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// except returns a test for printable ASCII without those characters.
func except(characters string) func(byte) bool {
	return func(c byte) bool { return c > ' ' && c < 0x7f && strings.IndexByte(characters, c) < 0 }
}

// only returns a test for letters, digits and those characters.
func only(characters string) func(byte) bool {
	return func(c byte) bool { return isAlphanumeric(c) || strings.IndexByte(characters, c) >= 0 }
}

// encodeURIComponent is ECMAScript's.
func encodeURIComponent(name string) string { return percentEncode(name, only("-_.!~*'()")) }

// retrofitPath is what Retrofit makes of a parameter with @Path, for OkHttp.
func retrofitPath(name string) string { return percentEncode(name, except(" \"<>^`{}|\\?#/%")) }

// joinPath is Go's url.JoinPath. It does not encode "%", so the client has to.
func joinPath(name string) string {
	joined, err := url.JoinPath("https://romm.example.com", "/api/roms", "1", "content", strings.ReplaceAll(name, "%", "%25"))
	if err != nil {
		return err.Error()
	}
	return joined[strings.LastIndexByte(joined, '/')+1:]
}

// quote is Python's urllib.parse.quote.
func quote(name string) string { return percentEncode(name, only("_.-~/")) }

// quoteTwice is quote of a URL whose name was quoted before.
func quoteTwice(name string) string { return quote(quote(name)) }

// formEncode is Java's URLEncoder with the spaces mended, which encodes "~" too.
func formEncode(name string) string { return percentEncode(name, only("-_.*")) }

// browserPath is what a browser makes of a URL's path (WHATWG URL, path percent-encode
// set), whose "%", "?" and "#" the page encoded.
func browserPath(name string) string { return percentEncode(name, except("\"#<>?`{}^%")) }

// asTyped is a URL in curl, in which the user encoded only what would not pass: "%",
// "?", "#" and spaces. The rest goes onto the wire as it is.
func asTyped(name string) string {
	return percentEncode(name, func(c byte) bool { return c != ' ' && c != '%' && c != '?' && c != '#' })
}

// exactly sends a request for a target that is written exactly like that.
func (b *browser) exactly(method, target string, fields ...string) response {
	b.t.Helper()
	at := public
	if strings.HasPrefix(target, "//") { // Opaque would be a host
		at += target
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, at, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if at == public {
		r.URL.Opaque = target
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	return b.sendRequest(r)
}

// download gets the file at target in the three ways of a client that resumes
// downloads, and fails unless it gets all bytes, none and three.
func (b *browser) download(target string, authorization ...string) {
	b.t.Helper()
	for _, c := range []struct {
		method, ranged string
		status, length int
	}{
		{http.MethodGet, "", http.StatusOK, contentSize},
		{http.MethodHead, "", http.StatusOK, 0},
		{http.MethodGet, "bytes=2-4", http.StatusPartialContent, 3},
	} {
		fields := authorization
		if c.ranged != "" {
			fields = append([]string{"Range", c.ranged}, authorization...)
		}
		if answer := b.exactly(c.method, target, fields...); answer.StatusCode != c.status || len(answer.body) != c.length {
			b.t.Errorf("%s %q %s answered %d with %d bytes, want %d with %d: %.200s", c.method, target, c.ranged, answer.StatusCode, len(answer.body), c.status, c.length, answer.body)
		}
	}
}

// contentSize is the size of the games in these tests.
const contentSize = 64

// library starts a stack with a RomM that has files, and returns the credentials of
// a RomM user.
func library(t *testing.T, directive string) (s *stack, token []string) {
	t.Helper()
	s = start(t, options{directive: directive, romm: func(o *romm.Options) { o.ContentSize = contentSize }})
	s.romm.AddUser(romm.User{Username: "robot", Email: "robot@example.com", Password: "secret", Role: "user"})
	return s, []string{"Authorization", "Bearer " + s.romm.NewClientToken("robot", "me.read roms.read firmware.read platforms.read collections.read assets.read")}
}

// downloadAll downloads every file by its number, under every name.
func downloadAll(b *browser, encode encoder, authorization ...string) {
	b.t.Helper()
	for _, name := range fileNames {
		b.download("/api/roms/1/content/"+encode(name), authorization...)
		for _, directory := range []string{"/api/roms/1/files/content/", "/api/firmware/1/content/"} {
			if answer := b.exactly(http.MethodGet, directory+encode(name), authorization...); answer.StatusCode != http.StatusOK {
				b.t.Errorf("%s%s answered %d, want 200: %.200s", directory, encode(name), answer.StatusCode, answer.body)
			}
		}
	}
}

// RomMix, a desktop app: its URL is a template with encodeURIComponent.
func TestFileNamesOfRomMix(t *testing.T) {
	s, token := library(t, "")
	downloadAll(s.browser(), encodeURIComponent, token...)
}

// Argosy, an Android app: Retrofit, OkHttp.
func TestFileNamesOfArgosy(t *testing.T) {
	s, token := library(t, "")
	downloadAll(s.browser(), retrofitPath, token...)
}

// Grout, for handhelds: Go's url.JoinPath.
func TestFileNamesOfGrout(t *testing.T) {
	s, token := library(t, "")
	downloadAll(s.browser(), joinPath, token...)
}

// romm-tender: it quotes names twice. RomM finds the file by its number.
func TestFileNamesOfRommTender(t *testing.T) {
	s, token := library(t, "")
	downloadAll(s.browser(), quoteTwice, token...)
}

// Other apps: Python's quote, Java's URLEncoder, and a user's own curl.
func TestFileNamesOfOtherClients(t *testing.T) {
	s, token := library(t, "")
	for _, encode := range []encoder{quote, formEncode, asTyped} {
		downloadAll(s.browser(), encode, token...)
	}
	for _, name := range fileNames { // HTTP/1.1, with bytes that are not ASCII in the request line
		if answer := raw(t, "GET /api/roms/1/content/"+asTyped(name), token[0]+": "+token[1]); answer.StatusCode != http.StatusOK {
			t.Errorf("%q over HTTP/1.1 answered %d, want 200", name, answer.StatusCode)
		}
	}
}

// A browser: the names that it gets from RomM's page, and those that a user pastes.
func TestFileNamesOfABrowser(t *testing.T) {
	s, _ := library(t, rolesByMail)
	alice := s.as("alice")
	for _, encode := range []encoder{browserPath, encodeURIComponent, quoteTwice} {
		downloadAll(alice, encode)
	}
}

// Every other credential opens the same names.
func TestFileNamesWithEveryCredential(t *testing.T) {
	s, _ := library(t, "clients password downloads covers")
	form := url.Values{"grant_type": {"password"}, "username": {"robot"}, "password": {"secret"}, "scope": {"me.read roms.read firmware.read"}}
	grant := s.browser().send("POST /api/token", strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
	var tokens struct {
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(grant.body), &tokens); err != nil {
		t.Fatalf("the token endpoint answered %d: %s", grant.StatusCode, grant.body)
	}
	for _, authorization := range [][]string{basic("robot", "secret"), {"Authorization", "Bearer " + tokens.Access}} {
		for _, encode := range []encoder{encodeURIComponent, quoteTwice} {
			downloadAll(s.browser(), encode, authorization...)
		}
	}
}

// A copied download link works for any client if the operator opened downloads.
func TestFileNamesOfADownloadLink(t *testing.T) {
	s := start(t, options{directive: "clients downloads", romm: func(o *romm.Options) {
		o.ContentSize, o.DisableDownloadEndpointAuth = contentSize, true
	}})
	for _, encode := range []encoder{encodeURIComponent, quoteTwice, asTyped} {
		downloadAll(s.browser(), encode)
	}
}

// Images and manuals have the names of games, too.
func TestFileNamesOfImages(t *testing.T) {
	s, token := library(t, "")
	for _, name := range fileNames {
		for _, encode := range []encoder{encodeURIComponent, retrofitPath, joinPath, quoteTwice} {
			target := "/assets/romm/resources/roms/1/" + encode(name) + "/cover/" + encode(name)
			if answer := s.browser().exactly(http.MethodGet, target, token...); answer.StatusCode != http.StatusOK {
				t.Errorf("%q answered %d, want 200: %.200s", target, answer.StatusCode, answer.body)
			}
		}
	}
}

// README.md's table of clients, and the requests that each client sends.

package tests

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddytest"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// shape is a request as a client sends it.
type shape struct {
	target string // "METHOD path", the path as it is on the wire
	as     string // the credential: token, password, bearer, or none
	header []string
}

const oddName = "Game (USA, Europe) [!] #1 50%.zip"

// enrolment is how a handheld gets its token; RomM refuses the empty requests
// itself.
var enrolment = []shape{
	{target: "GET /api/heartbeat"},
	{target: "POST /api/client-tokens/exchange"},
	{target: "GET /api/client-tokens/pair/ABCDEFGH/status"},
	{target: "POST /api/auth/device/init"},
	{target: "POST /api/auth/device/token"},
}

// restWith returns what every app with that credential does in RomM's API.
func restWith(as string) []shape {
	return []shape{
		{target: "GET /api/users/me", as: as},
		{target: "GET /api/config", as: as},
		{target: "GET /api/platforms", as: as},
		{target: "GET //api/platforms", as: as},
		{target: "GET /api/roms?platform_ids=1&limit=50", as: as},
		{target: "GET /api/roms/1", as: as},
		{target: "GET /api/collections/virtual/RmluYWwgRmFudGFzeQ%3D%3D", as: as},
		{target: "GET /api/saves", as: as},
		{target: "POST /api/saves?rom_id=1", as: as},
		{target: "GET /api/stats", as: as},
		{target: "GET /api/heartbeat/metadata/igdb", as: as},
		{target: "GET /openapi.json", as: as},
	}
}

// filesWith returns downloads as a client with that encoder and credential does
// them.
func filesWith(encode encoder, as string) []shape {
	return []shape{
		{target: "GET /api/roms/1/content/" + encode(oddName), as: as},
		{target: "HEAD /api/roms/1/content/" + encode(oddName), as: as},
		{target: "GET /api/roms/1/content/" + encode(oddName), as: as, header: []string{"Range", "bytes=2-4"}},
		{target: "GET /api/firmware/1/content/" + encode(oddName), as: as},
	}
}

func imagesWith(as string) []shape {
	return []shape{
		{target: "GET /assets/romm/resources/roms/1/cover/big.png?ts=2026-01-02%2003:04:05", as: as},
		{target: "HEAD /assets/romm/resources/roms/1/cover/big.png", as: as},
		{target: "GET /assets/romm/resources/roms/1/manual/1.pdf", as: as, header: []string{"Range", "bytes=0-3"}},
	}
}

func join(shapes ...[]shape) []shape { return slices.Concat(shapes...) }

// feed returns requests of a console: for a list, and for a file without a
// credential.
func feed(list string, as string) []shape {
	return []shape{{target: "GET " + list, as: as}, {target: "GET /api/roms/1/files/content/" + quote(oddName)}, {target: "GET /api/roms/1/content/" + asTyped(oddName)}}
}

// clients are the devices of README.md's table, and what each sends, by the words of
// `clients` that it needs for that. "never" is what no word opens.
var clients = map[string]map[string][]shape{
	"Grout (muOS, NextUI, …)":           {"": join(enrolment, restWith("token"), filesWith(joinPath, "token"), imagesWith("token"))},
	"Argosy (Android)":                  {"": join(enrolment, restWith("token"), filesWith(retrofitPath, "token")), "covers": imagesWith("")},
	"Playnite":                          {"": join(enrolment, restWith("token"), filesWith(quote, "token")), "covers": imagesWith("")},
	"RomMix":                            {"": join(enrolment, restWith("token"), filesWith(encodeURIComponent, "token"), imagesWith("token"))},
	"muos-app, the old one":             {"password": join(restWith("password"), filesWith(quote, "password"), imagesWith("password"))},
	"romm-tender, decky sync":           {"": join(restWith("token"), filesWith(quoteTwice, "token"), imagesWith("token")), "password": {{target: "POST /api/client-tokens", as: "password"}}},
	"romm-ios-app, romm-mobile":         {"": join(enrolment, restWith("token"), filesWith(formEncode, "token"), imagesWith("token"))},
	"RomMate":                           {"never": {{target: "POST /api/login", as: "password"}, {target: "GET /ws/socket.io/?EIO=4&transport=polling"}}},
	"Homepage, Homarr, dashboards":      {"": {{target: "GET /api/stats", as: "token"}}, "password": {{target: "GET /api/stats", as: "password"}}},
	"scripts, bots":                     {"": restWith("token"), "bearer": restWith("bearer"), "password": join(restWith("password"), []shape{{target: "POST /api/token"}})},
	"Tinfoil":                           {"feeds downloads": join(feed("/api/feeds/tinfoil", "password"), feed("/api/feeds/tinfoil/", ""))},
	"pkgj, pkgi, fpkgi":                 {"feeds downloads": join(feed("/api/feeds/pkgj/psp/games", ""), feed("/api/feeds/pkgi/ps3/games", ""), feed("/api/feeds/fpkgi/ps4", ""))},
	"webRcade, other web players":       {"feeds downloads": join(feed("/api/feeds/webrcade", ""), []shape{{target: "GET /api/feeds/webrcade", header: []string{"Origin", "https://play.webrcade.com"}}})},
	"a QR code, a copied download link": {"downloads": {{target: "GET /api/roms/1/content/" + browserPath(oddName)}, {target: "HEAD /api/roms/1/content/" + encodeURIComponent(oddName)}}},
	"Kekatsu (DS)":                      {}, // TestKekatsuSite
}

// README.md's table names every client here, with exactly the words of `clients` that
// its requests need: with these words all pass, and without they do not.
func TestClientTable(t *testing.T) {
	needs := clientTable(t)
	for device := range clients {
		if _, ok := needs[device]; !ok {
			t.Errorf("README.md's table of clients lacks %s", device)
		}
	}
	s := start(t, options{romm: func(o *romm.Options) { o.ContentSize, o.DisableDownloadEndpointAuth = contentSize, true }})
	for _, user := range []romm.User{{Username: "root", Role: "admin"}, {Username: "robot", Password: "secret", Role: "user"}} {
		user.Email = user.Username + "@example.com"
		s.romm.AddUser(user)
	}
	access, _ := s.tokensOf("alice", "romm", public+base)
	credentials := map[string]string{
		"":         "",
		"token":    "Bearer " + s.romm.NewClientToken("robot", "me.read roms.read firmware.read platforms.read collections.read assets.read assets.write"),
		"password": basic("robot", "secret")[1],
		"bearer":   "Bearer " + access,
	}
	for device, text := range needs {
		groups, ok := clients[device]
		if !ok {
			t.Errorf("README.md's table names %s, which no test covers", device)
			continue
		}
		if documented, wanted := wordsOf(text), wordsIn(groups); !slices.Equal(documented, wanted) {
			t.Errorf("README.md says that %s needs %v, want %v: %s", device, documented, wanted, text)
		}
		for words, shapes := range groups {
			if words == "never" != strings.Contains(text, "does not work") {
				t.Errorf("README.md says about %s: %s", device, text)
			}
			for _, loaded := range slices.Compact([]string{words, ""}) {
				s.load(options{directive: strings.TrimSuffix("clients "+strings.TrimPrefix(loaded, "never"), "clients ")})
				b := s.browser()
				b.client.Transport = caddytest.CreateTestingTransport() // with no connection to the previous configuration
				for _, sent := range shapes {
					b.sendShape(device+", clients "+loaded, sent, credentials[sent.as], loaded == words && words != "never")
				}
				b.client.CloseIdleConnections()
			}
		}
	}
}

// sendShape sends a request and fails unless it reaches RomM if it is to pass, and
// is refused otherwise.
func (b *browser) sendShape(title string, sent shape, authorization string, passes bool) {
	b.t.Helper()
	header := sent.header
	if authorization != "" {
		header = append([]string{"Authorization", authorization}, header...)
	}
	b.romm.ForgetRequests()
	method, target, _ := strings.Cut(sent.target, " ")
	answer := b.exactly(method, target, header...)
	decoded, _, _ := strings.Cut(target, "?")
	path, err := url.PathUnescape(strings.ReplaceAll(decoded, "//", "/"))
	if err != nil {
		b.t.Fatal(err)
	}
	_, reached := b.romm.LastRequest(path)
	refused := answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden
	if reached != passes || refused == passes || method != http.MethodPost && passes && answer.StatusCode/100 > 2 && sent.as != "" {
		b.t.Errorf("%s: %s with credential %q answered %d, reached RomM: %v, want %v: %.200s",
			title, sent.target, sent.as, answer.StatusCode, reached, passes, answer.body)
	}
}

// clientTable returns the rows of README.md's table of clients.
func clientTable(t *testing.T) map[string]string {
	t.Helper()
	table := regexp.MustCompile(`(?m)^\| device \| needs \|\n\|---\|---\|\n((?:\|.*\n)+)`).FindStringSubmatch(manual(t))
	if table == nil {
		t.Fatal("README.md lacks the table of clients")
	}
	needs, previous := map[string]string{}, ""
	for row := range strings.Lines(table[1]) {
		cells := strings.Split(strings.Trim(row, "|\n"), "|")
		device, text := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1])
		if rest, ok := strings.CutPrefix(text, "the same"); ok {
			text = previous + rest
		}
		needs[device], previous = text, text
	}
	return needs
}

// wordsOf returns the words of `clients` in a row's text.
func wordsOf(text string) []string {
	settings := regexp.MustCompile("`clients ([a-z ]+)`").FindAllStringSubmatch(text, -1)
	words := make([]string, 0, len(settings))
	for _, setting := range settings {
		words = append(words, strings.Fields(setting[1])...)
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// wordsIn returns the words of `clients` that groups need.
func wordsIn(groups map[string][]shape) []string {
	words := strings.Fields(strings.ReplaceAll(strings.Join(slices.Collect(maps.Keys(groups)), " "), "never", ""))
	slices.Sort(words)
	return words
}

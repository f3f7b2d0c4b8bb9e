// Behaviours of README.md's table: requests without a session, handhelds, sockets.

package tests

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func scriptDenied(t trial) {
	b := t.start().browser()
	for _, target := range []string{"/api/users/me", "/api/config", "POST /api/saves"} {
		if answer := b.fetch(target); answer.StatusCode != t.denied || !strings.Contains(answer.body, `"detail":"Not authenticated"`) {
			t.Errorf("%s without a session answered %d, want %d as RomM answers it: %s", target, answer.StatusCode, t.denied, answer.body)
		}
	}
}

func anonymousHeartbeat(t trial) {
	s := t.start()
	b := s.browser()
	answer := b.fetch("/api/heartbeat", "Authorization", "Bearer junk", "Cookie", "romm_session=stolen")
	if answer.StatusCode != http.StatusOK || !strings.Contains(answer.body, `"VERSION":"`+t.version+`"`) {
		t.Errorf("the heartbeat answered %d, want 200 with RomM's version: %s", answer.StatusCode, answer.body)
	}
	if request, _ := s.romm.LastRequest("/api/heartbeat"); request.Header.Get("Cookie") != "" || request.Header.Get("Authorization") != "" {
		t.Errorf("RomM got the header %v, want no credentials of the client", request.Header)
	}
}

func brandFiles(t trial) {
	b := t.start().browser()
	for target, dest := range map[string]string{"/site.webmanifest": "manifest", "/manifest.webmanifest": "manifest", "HEAD /favicon.ico": "image", "/android-chrome-512x512.png": "image"} {
		answer := b.do(target, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", dest, "Sec-Fetch-Site", "same-origin")
		if kind := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "image/") && kind != "application/manifest+json" {
			t.Errorf("%s answered %d with the type %q, want 200 with an image or a manifest", target, answer.StatusCode, kind)
		}
	}
}

func scanOverWebSocket(t trial) {
	s := t.start()
	for user, want := range map[string]string{"alice": `"scan:done"`, "bob": `"scan:done_ko"`} {
		if !t.owned {
			want = `"scan:done"` // this RomM does not check the user of a socket
		}
		socket, err := s.socket(s.as(user).ticket(), public)
		if err != nil {
			t.Fatal(err)
		}
		scan(t.T, socket)
		if !until(socket, want) {
			t.Errorf("%s: the scan did not end with %s", user, want)
		}
	}
	request, _ := s.romm.LastRequest("/ws/socket.io/")
	if lines := request.Header["Cookie"]; len(lines) != 1 || strings.Count(lines[0], "romm_session=") != 1 {
		t.Errorf("RomM got the Cookie lines %q, want one with one romm_session", lines)
	}
}

func scanOverPolling(t trial) {
	s := t.start()
	b := s.as("alice")
	p := b.poll("/ws")
	p.send("40")
	p.send(`42["scan",{}]`)
	if !p.until(`"scan:done"`) {
		t.Error("the scan over polling was not done")
	}
}

func noSocket(t trial) {
	s := t.start()
	s.quiet()
	if _, err := s.socket("", public); err == nil {
		t.Error("a WebSocket without a session was opened, want a refusal")
	}
	for _, mount := range []string{"/ws", "/netplay"} {
		if answer := s.browser().fetch(mount + "/socket.io/?EIO=4&transport=polling"); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a session answered %d, want 401", mount, answer.StatusCode)
		}
	}
	s.untouched("a socket without a session")
}

func webDevice(t trial) {
	s := t.start()
	b := s.browser()
	callback := b.callback("/", "bob")
	b.do(callback, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0")
	devices := s.romm.Devices("bob")
	if len(devices) != 1 || devices[0].Name != "Chrome on Linux" || devices[0].Host != "127.0.0.1" {
		t.Errorf("bob has the devices %+v, want one Chrome on Linux at 127.0.0.1", devices)
	}
	if me := b.fetch("/api/users/me"); !strings.Contains(me.body, `"current_device_id":"`) {
		t.Errorf("/api/users/me lacks the device: %s", me.body)
	}
}

func handheldToken(t trial) {
	s := t.start()
	token := s.romm.NewClientToken("root", "me.read roms.read")
	if me := s.browser().do("/api/users/me", "Authorization", "Bearer "+token); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"root"`) {
		t.Errorf("/api/users/me with root's client token answered %d, want 200 with root as the user: %s", me.StatusCode, me.body)
	}
	if answer := s.browser().do("/api/roms", "Authorization", "Bearer rmm_"+strings.Repeat("0", 64)); answer.StatusCode != t.denied {
		t.Errorf("an unknown token answered %d, want %d: %s", answer.StatusCode, t.denied, answer.body)
	}
}

func handheldPaired(t trial) {
	s := t.start()
	b := s.as("alice")
	send := func(target, body string) map[string]any {
		t.Helper()
		fields := append(b.csrf(), "Content-Type", "application/json")
		return object(t.T, b.send(target, strings.NewReader(body), fields...))
	}
	token := send("POST /api/client-tokens", `{"name":"handheld","scopes":["me.read"]}`)
	code := send("POST /api/client-tokens/"+itoa(int(token["id"].(float64)))+"/pair", "")["code"].(string)
	handheld := s.browser()
	if answer := handheld.do("/api/client-tokens/pair/" + code + "/status"); answer.StatusCode != http.StatusOK {
		t.Errorf("the status of the pairing answered %d, want 200", answer.StatusCode)
	}
	got := object(t.T, handheld.send("POST /api/client-tokens/exchange", strings.NewReader(`{"code":"`+code+`"}`), "Content-Type", "application/json"))
	raw, _ := got["raw_token"].(string)
	if me := handheld.do("/api/users/me", "Authorization", "Bearer "+raw); !strings.Contains(me.body, `"username":"alice"`) {
		t.Errorf("/api/users/me with the paired token answered %d, want alice as the user: %s", me.StatusCode, me.body)
	}
}

func handheldDevice(t trial) {
	s := t.start()
	handheld, b := s.browser(), s.as("alice")
	started := object(t.T, handheld.send("POST /api/auth/device/init", strings.NewReader(`{"name":"deck","requested_scopes":["me.read"]}`), "Content-Type", "application/json"))
	approval := `{"user_code":"` + started["user_code"].(string) + `","approved_scopes":["me.read"]}`
	if answer := b.send("POST /api/auth/device/approve", strings.NewReader(approval), append(b.csrf(), "Content-Type", "application/json")...); answer.StatusCode != http.StatusOK {
		t.Fatalf("the approval of the device answered %d, want 200: %s", answer.StatusCode, answer.body)
	}
	answer := handheld.send("POST /api/auth/device/token", strings.NewReader(`{"device_code":"`+started["device_code"].(string)+`"}`), "Content-Type", "application/json")
	if answer.StatusCode != http.StatusOK || !strings.Contains(answer.body, "rmm_") {
		t.Errorf("the device's token request answered %d, want 200 with a client token: %s", answer.StatusCode, answer.body)
	}
}

func openEndpoints(t trial) {
	s := t.start()
	s.quiet()
	for _, target := range []string{
		"GET /api/stats", "GET /openapi.json", "GET /api/docs", "GET /api/heartbeat/metadata/igdb", "GET /api/tinfoil/feed", "GET /api/webrcade/feed",
		"GET /api/feeds/tinfoil", "GET /api/feeds/webrcade", "GET /api/romsfiles/1/content/demo.nes", "GET /api/raw/assets/x", "GET /api/roms/1/content/demo.nes",
		"GET /api/setup/library", "POST /api/setup/platforms", "POST /api/users", "POST /api/users/register", "POST /api/users/invite-link",
		"POST /api/login", "POST /api/token", "POST /api/forgot-password", "POST /api/reset-password", "GET /assets/romm/resources/roms/1/cover/big.png",
	} {
		if answer := s.browser().fetch(target); answer.StatusCode != t.denied && answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s answered %d, want %d or 401", target, answer.StatusCode, t.denied)
		}
	}
	s.untouched("RomM's open endpoints")
}

func privateCaching(t trial) {
	b := t.start().as("alice")
	if answer := b.fetch("/assets/romm/resources/roms/1/cover/small.svg"); answer.Header.Get("Cache-Control") != "private, max-age=31536000, immutable" {
		t.Errorf("Cache-Control of a cover is %q, want private, max-age=31536000, immutable", answer.Header.Get("Cache-Control"))
	}
	if answer := b.open("/rom/7"); answer.Header.Get("Cache-Control") != "no-cache, no-store" {
		t.Errorf("Cache-Control of a page is %q, want no-cache, no-store", answer.Header.Get("Cache-Control"))
	}
	if answer := b.fetch("/api/roms", "Origin", public); answer.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("the answer has Access-Control-Allow-Origin, want none: %v", answer.Header)
	}
}

// object decodes the JSON object of a successful answer.
func object(t *testing.T, answer response) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(answer.body), &body); err != nil || answer.StatusCode/100 != 2 {
		t.Fatalf("got %d, want success with a JSON object: %s", answer.StatusCode, answer.body)
	}
	return body
}

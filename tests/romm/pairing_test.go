// Tests of pair codes and device sign-in.

package romm

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

func TestPairCodeIsExchangedForAToken(t *testing.T) {
	t.Parallel()
	c := &clock{at: start}
	s, b := signedIn(t, Options{Now: c.Now})
	token := decoded(t, b.post("/api/client-tokens", `{"name":"grout","scopes":["roms.read"],"expires_in":"30d"}`))
	wantStatus(t, b.post("/api/client-tokens", `{"name":"grout","scopes":["nothing"]}`), http.StatusForbidden)
	code := decoded(t, b.post("/api/client-tokens/1/pair", ""))["code"].(string)
	handheld := newBrowser(t, s)
	wantStatus(t, handheld.get("/api/client-tokens/pair/"+code+"/status"), http.StatusOK)
	got := decoded(t, handheld.do("POST", "/api/client-tokens/exchange", `{"code":"`+code[:4]+"-"+code[4:]+`"}`))
	if got["id"] != token["id"] || got["raw_token"] == token["raw_token"] {
		t.Errorf("exchange returned %v, want token %v with another secret", got, token)
	}
	wantStatus(t, handheld.get("/api/roms", bearer(token["raw_token"].(string))), http.StatusUnauthorized)
	wantStatus(t, handheld.get("/api/roms", bearer(got["raw_token"].(string))), http.StatusOK)
	wantStatus(t, handheld.get("/api/client-tokens/pair/"+code+"/status"), http.StatusNotFound)
	for range 4 {
		wantStatus(t, handheld.do("POST", "/api/client-tokens/exchange", `{"code":"x"}`), http.StatusNotFound)
	}
	wantStatus(t, handheld.do("POST", "/api/client-tokens/exchange", `{"code":"x"}`), http.StatusTooManyRequests)
	c.advance(31 * 24 * time.Hour)
	wantStatus(t, handheld.get("/api/roms", bearer(got["raw_token"].(string))), http.StatusUnauthorized)
}

func TestDeviceSignIn(t *testing.T) {
	t.Parallel()
	s, b := signedIn(t, Options{})
	handheld := newBrowser(t, s)
	answer := handheld.do("POST", "/api/auth/device/init", `{"name":"Deck","requested_scopes":["me.read","roms.read"]}`)
	wantStatus(t, answer, http.StatusCreated)
	pending := decoded(t, answer)
	ask := func() *answered {
		body, _ := json.Marshal(map[string]any{"device_code": pending["device_code"]})
		return handheld.do("POST", "/api/auth/device/token", string(body))
	}
	answer = ask()
	wantStatus(t, answer, http.StatusBadRequest)
	if body := decoded(t, answer); body["detail"] != "authorization_pending" {
		t.Errorf("body is %v, want authorization_pending", body)
	}
	user, _ := pending["user_code"].(string)
	wantStatus(t, b.get("/api/auth/device/pending/"+user), http.StatusOK)
	wantStatus(t, b.post("/api/auth/device/approve", `{"user_code":"`+user+`","approved_scopes":["me.read"]}`), http.StatusOK)
	got := decoded(t, ask())
	token, _ := got["access_token"].(string)
	me := decoded(t, handheld.get("/api/users/me", bearer(token)))
	if me["username"] != "ada" || me["current_device_id"] != got["device_id"] {
		t.Errorf("user is %v, want ada on device %v", me, got["device_id"])
	}
	wantStatus(t, ask(), http.StatusBadRequest)
}

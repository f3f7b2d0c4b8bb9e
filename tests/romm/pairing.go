// Client tokens and how a handheld obtains one: pair codes and device sign-in.

package romm

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tokensPerUser   = 25
	pairCodeLife    = time.Minute
	deviceCodeLife  = 10 * time.Minute
	deviceInterval  = 5
	exchangePerMin  = 5
	deviceInitLimit = 10
	deviceAskLimit  = 60
)

func pairingRoutes() []route {
	const list, device = "/api/client-tokens", "/api/auth/device"
	tokens := []route{ //nolint:prealloc // a table
		{methods: "POST", pattern: list + "/exchange", serve: (*exchange).exchangeCode},
		{methods: "GET", pattern: list + "/pair/{code}/status", serve: (*exchange).pairStatus},
		{methods: "POST", pattern: list, scope: "me.write", serve: (*exchange).createToken},
		{methods: "GET", pattern: list, scope: "me.read", serve: (*exchange).listTokens},
		{methods: "DELETE", pattern: list + "/{id}", scope: "me.write", serve: (*exchange).deleteToken},
		{methods: "POST", pattern: list + "/{id}/pair", scope: "me.write", serve: (*exchange).pairToken},
	}
	for i := range tokens {
		tokens[i].from = "4.8.0"
	}
	return append(tokens,
		route{methods: "POST", pattern: device + "/init", from: "5.0.0", serve: (*exchange).deviceInit},
		route{methods: "POST", pattern: device + "/token", from: "5.0.0", serve: (*exchange).deviceToken},
		route{methods: "GET", pattern: device + "/pending/{code}", from: "5.0.0", scope: "me.read", serve: (*exchange).devicePending},
		route{methods: "POST", pattern: device + "/approve", from: "5.0.0", scope: "me.write", serve: (*exchange).deviceApprove},
	)
}

// pairing holds the codes by which handhelds obtain tokens: codes that the user
// enters on the handheld, and codes that the handheld shows.
type pairing struct {
	mu      sync.Mutex
	codes   oneTime
	devices []*pendingDevice
	calls   map[string][]time.Time
}

type pendingDevice struct {
	code, userCode, name string
	scopes               []string
	expires              time.Time
	token                clientToken
}

// limited refuses a request if its address sent perMinute requests of this kind in
// the last minute.
func (x *exchange) limited(kind string, perMinute int) error {
	p, now := &x.pairing, x.options.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == nil {
		p.calls = map[string][]time.Time{}
	}
	key := kind + " " + x.clientHost()
	p.calls[key] = slices.DeleteFunc(p.calls[key], func(at time.Time) bool { return now.Sub(at) >= time.Minute })
	if len(p.calls[key]) >= perMinute {
		return detail{status: http.StatusTooManyRequests, text: "Too many requests"}
	}
	p.calls[key] = append(p.calls[key], now)
	return nil
}

func tokenJSON(t clientToken) map[string]any {
	body := map[string]any{"id": t.id, "name": t.name, "scopes": t.scopes, "user_id": t.userID, "created_at": t.created.UTC().Truncate(time.Second), "expires_at": nil, "last_used_at": nil}
	if !t.expires.IsZero() {
		body["expires_at"] = t.expires.UTC()
	}
	return body
}

func tokenWithSecret(t clientToken) map[string]any {
	body := tokenJSON(t)
	body["raw_token"] = t.raw
	return body
}

func (x *exchange) createToken() error {
	var body struct {
		Name      string   `json:"name"`
		Scopes    []string `json:"scopes"`
		ExpiresIn string   `json:"expires_in"`
	}
	if err := x.decode(&body); err != nil {
		return err
	}
	switch {
	case len(intersect(body.Scopes, x.scopes)) < len(body.Scopes) || len(body.Scopes) == 0:
		return detail{status: http.StatusForbidden, text: "Insufficient scope"}
	case len(x.tokens.of(x.user.ID)) >= tokensPerUser:
		return detail{status: http.StatusBadRequest, text: "Maximum of 25 tokens per user reached"}
	}
	token := clientToken{userID: x.user.ID, name: body.Name, scopes: body.Scopes, created: x.options.Now()}
	if days := map[string]int{"30d": 30, "90d": 90, "1y": 365}[body.ExpiresIn]; days > 0 {
		token.expires = x.options.Now().AddDate(0, 0, days)
	}
	return x.json(http.StatusCreated, tokenWithSecret(x.tokens.add(token)))
}

func (x *exchange) listTokens() error {
	tokens := x.tokens.of(x.user.ID)
	list := make([]map[string]any, 0, len(tokens))
	for _, token := range tokens {
		list = append(list, tokenJSON(token))
	}
	return x.json(http.StatusOK, list)
}

func (x *exchange) deleteToken() error {
	id, err := x.id()
	if err != nil {
		return err
	}
	if !x.tokens.remove(id, x.user.ID) {
		return detail{status: http.StatusNotFound, text: "Token not found"}
	}
	return x.json(http.StatusOK, nil)
}

func (x *exchange) pairToken() error {
	id, err := x.id()
	if err != nil {
		return err
	}
	for _, token := range x.tokens.of(x.user.ID) {
		if token.id == id {
			code := strings.ToUpper(randomHex(4))
			x.pairing.codes.put(code, strconv.Itoa(token.id), x.options.Now().Add(pairCodeLife))
			return x.json(http.StatusOK, map[string]any{"code": code, "expires_in": int(pairCodeLife.Seconds())})
		}
	}
	return detail{status: http.StatusNotFound, text: "Token not found"}
}

func (x *exchange) pairStatus() error {
	if _, ok := x.pairing.codes.peek(pairCode(x.params["code"]), x.options.Now()); !ok {
		return errNotFound
	}
	return x.json(http.StatusOK, nil)
}

// exchangeCode replaces the token: its old secret, which the user has seen, is
// refused from then on.
func (x *exchange) exchangeCode() error {
	if err := x.limited("exchange", exchangePerMin); err != nil {
		return err
	}
	var body struct{ Code string }
	if err := x.decode(&body); err != nil {
		return err
	}
	id, ok := x.pairing.codes.take(pairCode(body.Code), x.options.Now())
	number, _ := strconv.Atoi(id) // ours, or "" without ok
	token, found := x.tokens.renew(number, x.options.Now())
	if !ok || !found {
		return detail{status: http.StatusNotFound, text: "Invalid or expired pairing code"}
	}
	return x.json(http.StatusOK, tokenWithSecret(token))
}

func pairCode(code string) string { return strings.ToUpper(strings.ReplaceAll(code, "-", "")) }

func (x *exchange) deviceInit() error {
	if err := x.limited("init", deviceInitLimit); err != nil {
		return err
	}
	var body struct {
		Name   string   `json:"name"`
		Scopes []string `json:"requested_scopes"`
	}
	if err := x.decode(&body); err != nil {
		return err
	}
	pending := &pendingDevice{
		code: randomHex(32), userCode: strings.ToUpper(randomHex(4)), name: body.Name, scopes: body.Scopes,
		expires: x.options.Now().Add(deviceCodeLife),
	}
	x.pairing.mu.Lock()
	x.pairing.devices = append(x.pairing.devices, pending)
	x.pairing.mu.Unlock()
	return x.json(http.StatusCreated, map[string]any{
		"device_code": pending.code, "user_code": pending.userCode, "verification_path": "/pair/device",
		"verification_path_complete": "/pair/device?user_code=" + pending.userCode,
		"expires_in":                 int(deviceCodeLife.Seconds()), "interval": deviceInterval,
	})
}

// pendingDevice finds a device. The caller must hold the pairing's lock.
func (x *exchange) pendingDevice(match func(*pendingDevice) bool) *pendingDevice {
	for _, pending := range x.pairing.devices {
		if match(pending) && x.options.Now().Before(pending.expires) {
			return pending
		}
	}
	return nil
}

func (x *exchange) deviceToken() error {
	if err := x.limited("token", deviceAskLimit); err != nil {
		return err
	}
	var body struct {
		Code string `json:"device_code"`
	}
	if err := x.decode(&body); err != nil {
		return err
	}
	x.pairing.mu.Lock()
	defer x.pairing.mu.Unlock()
	pending := x.pendingDevice(func(d *pendingDevice) bool { return d.code == body.Code })
	switch {
	case pending == nil:
		return detail{status: http.StatusBadRequest, text: "expired_token"}
	case pending.token.raw == "":
		return detail{status: http.StatusBadRequest, text: "authorization_pending"}
	}
	pending.expires = time.Time{}
	return x.json(http.StatusOK, map[string]any{
		"access_token": pending.token.raw, "device_id": pending.token.deviceID, "scopes": pending.token.scopes, "expires_at": nil,
	})
}

func (x *exchange) devicePending() error {
	x.pairing.mu.Lock()
	defer x.pairing.mu.Unlock()
	pending := x.pendingDevice(func(d *pendingDevice) bool { return d.userCode == pairCode(x.params["code"]) })
	if pending == nil {
		return detail{status: http.StatusNotFound, text: "Unknown or expired code"}
	}
	return x.json(http.StatusOK, map[string]any{
		"name": pending.name, "requested_scopes": pending.scopes, "allowed_scopes": intersect(pending.scopes, x.scopes),
	})
}

func (x *exchange) deviceApprove() error {
	var body struct {
		UserCode string   `json:"user_code"`
		Scopes   []string `json:"approved_scopes"`
	}
	if err := x.decode(&body); err != nil {
		return err
	}
	x.pairing.mu.Lock()
	defer x.pairing.mu.Unlock()
	pending := x.pendingDevice(func(d *pendingDevice) bool { return d.userCode == pairCode(body.UserCode) })
	switch {
	case pending == nil:
		return detail{status: http.StatusNotFound, text: "Unknown or expired code"}
	case pending.token.raw != "":
		return detail{status: http.StatusGone, text: "Code already approved"}
	case len(body.Scopes) == 0 || len(intersect(body.Scopes, intersect(pending.scopes, x.scopes))) < len(body.Scopes):
		return detail{status: http.StatusForbidden, text: "Approved scopes exceed what's allowed for this user"}
	}
	device := Device{ID: uuid4(), User: x.user.Username, Name: pending.name, Platform: "device"}
	x.accounts.mu.Lock()
	x.accounts.devices = append(x.accounts.devices, device)
	x.accounts.mu.Unlock()
	pending.token = x.tokens.add(clientToken{userID: x.user.ID, name: pending.name, scopes: body.Scopes, deviceID: device.ID, created: x.options.Now()})
	return x.json(http.StatusOK, map[string]string{"device_id": device.ID, "device_name": pending.name})
}

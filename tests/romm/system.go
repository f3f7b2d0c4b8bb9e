// Heartbeat, configuration, statistics and the setup wizard's endpoints.

package romm

import (
	"fmt"
	"net/http"
)

func systemRoutes() []route {
	const get = "GET"
	return []route{
		{methods: get, pattern: "/api/heartbeat", serve: (*exchange).heartbeat},
		{methods: get, pattern: "/api/heartbeat/metadata/{source}", serve: ok(false)},
		{methods: get, pattern: "/api/config", serve: (*exchange).config},
		{methods: get, pattern: "/api/stats", serve: (*exchange).stats},
		{methods: get, pattern: "/openapi.json", serve: ok(map[string]any{"openapi": "3.1.0", "info": map[string]string{"title": "RomM API"}})},
		{methods: get, pattern: "/api/docs", serve: docs},
		{methods: get, pattern: "/api/redoc", serve: docs},
		{methods: "POST", pattern: "/api/tasks/run/{task}", scope: "tasks.run", serve: ok(map[string]string{"status": "queued"})},
		{methods: get, pattern: "/api/setup/library", from: "4.6.0", serve: (*exchange).setupLibrary},
		{methods: "POST", pattern: "/api/setup/platforms", from: "4.6.0", serve: (*exchange).setupPlatforms},
	}
}

// heartbeat is the first request of every client, sent without credentials.
func (x *exchange) heartbeat() error {
	oidc := map[string]any{"ENABLED": x.options.OIDC.Enabled, "PROVIDER": x.options.OIDC.Provider}
	if x.version.atLeast(4, 7, 0) {
		oidc["AUTOLOGIN"] = x.options.OIDC.Autologin
	}
	if x.version.atLeast(4, 8, 0) {
		oidc["RP_INITIATED_LOGOUT"] = x.options.OIDC.RPInitiatedLogout
	}
	return x.json(http.StatusOK, map[string]any{
		"SYSTEM": map[string]any{
			"VERSION":           x.options.Version,
			"SHOW_SETUP_WIZARD": x.showSetupWizard(),
		},
		"METADATA_SOURCES": map[string]any{"ANY_SOURCE_ENABLED": false},
		"FILESYSTEM":       map[string]any{"FS_PLATFORMS": x.platformFolders()},
		"EMULATION":        map[string]any{"DISABLE_EMULATOR_JS": false, "DISABLE_RUFFLE_RS": false},
		"FRONTEND": map[string]any{
			"UPLOAD_TIMEOUT":         600,
			"DISABLE_USERPASS_LOGIN": x.options.DisableUserpassLogin,
			"YOUTUBE_BASE_URL":       "https://www.youtube.com",
		},
		"OIDC":  oidc,
		"TASKS": map[string]any{},
	})
}

// platformFolders returns the names of the library's platform folders.
func (x *exchange) platformFolders() []string {
	folders := []string{"nes", "snes"}
	for i := len(folders); i < x.options.PlatformFolders; i++ {
		folders = append(folders, fmt.Sprintf("platform-%d", i+1))
	}
	return folders[:x.options.PlatformFolders]
}

// showSetupWizard reports whether there is no administrator, not even a disabled
// one.
func (x *exchange) showSetupWizard() bool {
	hidden := x.options.DisableSetupWizard && x.version.atLeast(4, 3, 1)
	return !x.accounts.hasAdmin() && !hidden
}

func (x *exchange) config() error {
	config := map[string]any{
		"CONFIG_FILE_MOUNTED": false, "CONFIG_FILE_WRITABLE": false,
		"EXCLUDED_PLATFORMS": []string{}, "PLATFORMS_BINDING": map[string]string{}, "SCAN_METADATA_PRIORITY": []string{},
		"EJS_NETPLAY_ENABLED": x.version.redisSessions(), "EJS_NETPLAY_ICE_SERVERS": []string{},
	}
	if x.user != nil {
		config["EJS_NETPLAY_ICE_SERVERS"] = []map[string]string{{"urls": "stun:stun.example.com:3478"}}
	}
	return x.json(http.StatusOK, config)
}

func (x *exchange) stats() error {
	return x.json(http.StatusOK, map[string]any{
		"PLATFORMS": 1, "ROMS": romCount, "SAVES": x.saves.count(), "STATES": x.states.count(), "SCREENSHOTS": 0,
		"TOTAL_FILESIZE_BYTES": romCount * x.options.ContentSize,
	})
}

func docs(x *exchange) error {
	x.reply.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err := x.reply.Write([]byte("<!doctype html><title>RomM API</title>"))
	return err
}

// setupLibrary and setupPlatforms are open until there is an administrator.
func (x *exchange) setupLibrary() error {
	if x.accounts.hasAdmin() {
		return errForbidden
	}
	return x.json(http.StatusOK, map[string]any{"detected_structure": "struct_a", "existing_platforms": []string{}, "supported_platforms": []string{}})
}

func (x *exchange) setupPlatforms() error {
	if x.accounts.hasAdmin() {
		return errForbidden
	}
	return x.json(http.StatusCreated, map[string]any{"success": true, "created_count": 0, "message": "Successfully created 0 platform folder(s)"})
}

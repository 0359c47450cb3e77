// Package testserver takes the place of the package of this name in k8s.io/apiserver: its functions have the same
// signatures, but the server that the tests of Kubernetes' storage layer talk to is a program of the caller's choice.
//
// BERTH_SUITE_SERVER is its command line, a JSON list of words. In each word {client} and {peer} stand for free ports of
// 127.0.0.1, {data} for an empty folder, {progress} for the interval of progress notifications ("1s").
package testserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"google.golang.org/grpc"

	storagetesting "k8s.io/apiserver/pkg/storage/testing"
)

const (
	commandLine = "BERTH_SUITE_SERVER"
	// Far more than a start takes, also on a machine with much else to do.
	startLimit = 60 * time.Second
	// Between closing a free port and the server's listening on it somebody else may take it.
	startAttempts = 5
	// etcd's own, which an interval of zero stands for.
	usualProgressInterval = 10 * time.Minute
	// What a failed test shows of the server's output.
	shownLogLines = 30
)

// NewTestConfig is a configuration for RunEtcd. Only WatchProgressNotifyInterval, Dir and the ports of the first two URLs
// reach the server.
func NewTestConfig(t testing.TB) *embed.Config {
	config := embed.NewConfig()
	config.Dir = filepath.Join(t.TempDir(), "data")
	return config
}

// RunEtcd starts the server, which ends with the test, and returns a client of it.
func RunEtcd(t testing.TB, config *embed.Config) *kubernetes.Client {
	t.Helper()
	if config == nil {
		config = NewTestConfig(t)
	}
	words := serverWords(t)
	for attempt := 1; ; attempt++ {
		server, err := start(words, config)
		if err != nil {
			t.Fatalf("%s: start %q: %v", commandLine, words, err)
		}
		client, err := server.dial(t)
		if err == nil {
			t.Cleanup(func() { server.end(t) })
			return recorded(client)
		}
		state := server.state()
		server.kill()
		if attempt == startAttempts || !server.foundPortTaken() {
			t.Fatalf("%v; the server %s and said\n%s\nits command line is %q",
				err, state, server.lastLines(), server.command.Args)
		}
	}
}

func serverWords(t testing.TB) []string {
	var words []string
	if err := json.Unmarshal([]byte(os.Getenv(commandLine)), &words); err != nil || len(words) == 0 {
		t.Fatalf("%s=%q is no command line as a JSON list: %v", commandLine, os.Getenv(commandLine), err)
	}
	return words
}

// recorded counts requests, as some tests ask how many there were.
func recorded(client *kubernetes.Client) *kubernetes.Client {
	client.KV = storagetesting.NewKVRecorder(client.KV)
	client.Kubernetes = storagetesting.NewKubernetesRecorder(client.Kubernetes)
	return client
}

// server is a running program.
type server struct {
	command  *exec.Cmd
	endpoint url.URL
	log      string
	// Closed when the process has gone.
	ended chan struct{}
}

func start(words []string, config *embed.Config) (*server, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, err
	}
	fill := strings.NewReplacer(
		"{client}", ports[0], "{peer}", ports[1], "{data}", config.Dir,
		"{progress}", inSeconds(config.WatchProgressNotifyInterval))
	filled := make([]string, len(words))
	for i, word := range words {
		filled[i] = fill.Replace(word)
	}
	endpoint := url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", ports[0])}
	it := &server{endpoint: endpoint, log: config.Dir + ".log", ended: make(chan struct{})}
	return it, it.spawn(filled)
}

func (it *server) spawn(words []string) error {
	log, err := os.Create(it.log)
	if err != nil {
		return err
	}
	defer log.Close()
	it.command = exec.Command(words[0], words[1:]...)
	it.command.Stdout, it.command.Stderr = log, log
	// A test binary that is killed, or that ends itself at its time limit, runs no clean-up. The group is for programs
	// that start others.
	it.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := it.command.Start(); err != nil {
		return err
	}
	go func() {
		_ = it.command.Wait()
		close(it.ended)
	}()
	return nil
}

// dial returns when the server answers.
func (it *server) dial(t testing.TB) (*kubernetes.Client, error) {
	if err := it.listens(); err != nil {
		return nil, err
	}
	// The client's for as long as the test runs; it ends early only when there is nothing left to wait for.
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	answered := make(chan struct{})
	defer close(answered)
	go func() {
		select {
		case <-it.ended:
			cancel()
		case <-answered:
		}
	}()
	client, err := kubernetes.New(clientv3.Config{
		Context:     ctx,
		Endpoints:   []string{it.endpoint.String()},
		DialTimeout: startLimit,
		DialOptions: []grpc.DialOption{grpc.WithBlock()},
		Logger:      zaptest.NewLogger(t, zaptest.Level(zapcore.ErrorLevel)).Named("client"),
	})
	if err != nil {
		return nil, fmt.Errorf("no connection to %s: %w", it.endpoint.Host, err)
	}
	limited, done := context.WithTimeout(ctx, startLimit)
	defer done()
	if _, err := client.KV.Get(limited, "nothing"); err != nil {
		client.Close()
		return nil, fmt.Errorf("no answer from %s: %w", it.endpoint.Host, err)
	}
	return client, nil
}

// listens waits until somebody does at the client port.
func (it *server) listens() error {
	for began := time.Now(); time.Since(began) < startLimit; {
		connection, err := net.Dial("tcp", it.endpoint.Host)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-it.ended:
			return fmt.Errorf("nobody listened at %s", it.endpoint.Host)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("nobody listened at %s within %v", it.endpoint.Host, startLimit)
}

// end kills the server: what it has stored is thrown away, so nothing is gained by a stop in good order.
func (it *server) end(t testing.TB) {
	if it.hasEnded() {
		t.Errorf("the server %s", it.state())
	}
	it.kill()
	if t.Failed() {
		t.Logf("the server said at last:\n%s", it.lastLines())
	}
}

func (it *server) hasEnded() bool {
	select {
	case <-it.ended:
		return true
	default:
		return false
	}
}

func (it *server) state() string {
	if it.hasEnded() {
		return fmt.Sprintf("ended by itself (%v)", it.command.ProcessState)
	}
	return "runs"
}

func (it *server) kill() {
	_ = syscall.Kill(-it.command.Process.Pid, syscall.SIGKILL)
	<-it.ended
}

func (it *server) foundPortTaken() bool {
	return strings.Contains(strings.ToLower(it.lastLines()), "address already in use")
}

func (it *server) lastLines() string {
	text, err := os.ReadFile(it.log)
	if err != nil {
		return err.Error()
	}
	if len(text) == 0 {
		return "nothing"
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-shownLogLines):], []byte("\n")))
}

// freePorts holds all of them until it has enough, so that they differ.
func freePorts(count int) ([]string, error) {
	var ports []string
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("look for a free port: %w", err)
		}
		defer listener.Close()
		ports = append(ports, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}

// inSeconds is "1s" or "0.5s", for servers that read no minutes.
func inSeconds(interval time.Duration) string {
	if interval == 0 {
		interval = usualProgressInterval
	}
	return strconv.FormatFloat(interval.Seconds(), 'f', -1, 64) + "s"
}

//! Programs that others wrote for X-Road's own server, unmodified, against two nodes. Where `CI` is set they must run; elsewhere they are
//! left out, and say so, where they cannot be installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bridge::api::{Role, operations_info};
use bridge::config::{ApiLimits, NodeConfig};
use bridge::testing::{ECHO, SoapService, TwoNodes, offer_soap, two_nodes, two_nodes_with};

/// An interpreter with the packages of one list.
struct Judge {
    program: PathBuf,
    /// Where Node.js finds its packages.
    node_path: PathBuf,
}

impl Judge {
    /// Makes the environment once, below Cargo's target folder. `None` (said on stderr) where that fails and `CI` is not set.
    #[expect(clippy::disallowed_methods, reason = "only the environment can say that this is the complete run")]
    #[expect(clippy::print_stderr, reason = "a test that is left out must say so")]
    fn prepare(list: &str) -> Option<Self> {
        match Self::install(list) {
            Ok(judge) => Some(judge),
            Err(error) => {
                assert!(std::env::var("CI").is_err(), "the judges of {list} are needed: {error}");
                eprintln!("LEFT OUT: the judges of {list} ({error})");
                None
            }
        }
    }

    fn install(requirements: &str) -> Result<Self, String> {
        let file = folder().join(requirements);
        let wanted = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("judges");
        let environment = base.join(requirements);
        std::fs::create_dir_all(&base).map_err(|error| error.to_string())?;
        // Tests run side by side; one of them installs.
        let lock =
            std::fs::File::create(base.join(format!("{requirements}.lock"))).map_err(|error| error.to_string())?;
        lock.lock().map_err(|error| error.to_string())?;
        let of_node = requirements == "package.json";
        let program = if of_node { PathBuf::from("node") } else { environment.join("bin/python") };
        let judge = Self { program, node_path: environment.join("node_modules") };
        let done = environment.join("installed.txt");
        if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
            return Ok(judge);
        }
        let _ = std::fs::remove_dir_all(&environment);
        if of_node {
            std::fs::create_dir_all(&environment).map_err(|error| error.to_string())?;
            std::fs::copy(&file, environment.join("package.json")).map_err(|error| error.to_string())?;
            let options = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"];
            run(Command::new("npm").args(options).current_dir(&environment))?;
        } else {
            run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"];
            // A list that names every package, because what would be resolved does not work: its first line says so.
            let resolved = !wanted.contains("without its dependencies");
            let resolve: &[&str] = if resolved { &[] } else { &["--no-deps"] };
            run(Command::new(&judge.program).args(pip).args(resolve).arg("-r").arg(&file))?;
        }
        std::fs::write(&done, wanted).map_err(|error| error.to_string())?;
        Ok(judge)
    }

    /// A script of the folder of judges, ready to run in a folder of its own.
    fn script(&self, name: &str, arguments: &[&str], work: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(folder().join(name)).args(arguments).current_dir(work).env("NO_PROXY", "127.0.0.1,localhost");
        command.env_remove("PYTHONPATH").env("NODE_PATH", &self.node_path);
        command
    }

    /// Runs a script beside the nodes; it must end well. What it printed.
    async fn run(&self, name: &str, arguments: &[&str], work: &Path) -> String {
        let mut command = self.script(name, arguments, work);
        let outcome = tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
        outcome.unwrap()
    }
}

/// A process that ends with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges")
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Err(format!("{command:?} ended with {}: {told}", output.status))
}

fn node_of(nodes: &TwoNodes) -> String {
    format!("http://{}", nodes.consumer.addresses().consumer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zeep_calls_metaservices_and_services_with_attachments_by_our_wsdl() {
    let Some(judge) = Judge::prepare("requirements.txt") else { return };
    let nodes = two_nodes(900).await;
    let service = SoapService::start().await;
    service.offer(&nodes).await;
    let metaservices = folder().join("metaservices.wsdl");
    let work = tempfile::tempdir().unwrap();
    let arguments = [&node_of(&nodes), metaservices.to_str().unwrap(), work.path().to_str().unwrap()];
    judge.run("call_with_zeep.py", &arguments, work.path()).await;
    let state = &service.seen()[0];
    assert_eq!(state.headers.get("soapaction").unwrap(), "\"urn:getState\"");
    for id in ["zeep-listMethods", "zeep-wsdl", "zeep-state", "zeep-files"] {
        for node in [&nodes.consumer, &nodes.provider] {
            assert_eq!(node.message_log().count(id).await.unwrap().len(), 2, "{id} is logged on both sides");
        }
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_soap_client_of_node_js_calls_metaservices_and_services_by_our_wsdl() {
    let Some(judge) = Judge::prepare("package.json") else { return };
    let nodes = two_nodes(906).await;
    let service = SoapService::start().await;
    service.offer(&nodes).await;
    let metaservices = folder().join("metaservices.wsdl");
    let work = tempfile::tempdir().unwrap();
    let arguments = [&node_of(&nodes), metaservices.to_str().unwrap(), work.path().to_str().unwrap()];
    judge.run("call_with_soap.js", &arguments, work.path()).await;
    for id in ["soap-listMethods", "soap-wsdl", "soap-state", "soap-files"] {
        for node in [&nodes.consumer, &nodes.provider] {
            assert_eq!(node.message_log().count(id).await.unwrap().len(), 2, "{id} is logged on both sides");
        }
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyxroad_finds_the_wsdl_by_the_old_route_and_calls() {
    let Some(judge) = Judge::prepare("requirements.txt") else { return };
    let nodes = two_nodes(901).await;
    let service = SoapService::start().await;
    service.offer(&nodes).await;
    let work = tempfile::tempdir().unwrap();
    judge.run("call_with_pyxroad.py", &[&node_of(&nodes)], work.path()).await;
    assert_eq!(service.seen().len(), 1);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asicverifier_downloads_what_it_needs() {
    let Some(judge) = Judge::prepare("requirements.txt") else { return };
    let nodes = two_nodes(902).await;
    assert_eq!(nodes.call("GET", ECHO, &[("X-Road-Id", "asic-1")], "").await.status, 200);
    nodes.consumer.stamp_now().await.unwrap();
    assert_eq!(nodes.consumer.commit_now().await, Ok(2));
    let work = tempfile::tempdir().unwrap();
    for side in ["request", "response"] {
        judge.run("download_with_asicverifier.py", &[&(node_of(&nodes) + "/"), "asic-1", side], work.path()).await;
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signxml_verifies_the_signature_of_a_message_and_refuses_an_altered_one() {
    let Some(judge) = Judge::prepare("requirements.txt") else { return };
    container(judge, "verify_with_signxml.py", 903).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyasice_opens_containers_and_verifies_signature_value_and_ocsp_response() {
    let Some(judge) = Judge::prepare("pyasice.txt") else { return };
    container(judge, "verify_with_pyasice.py", 907).await;
}

/// Gives a judge the containers of an exchange with a body.
async fn container(judge: Judge, script: &str, seed: u64) {
    let nodes = two_nodes(seed).await;
    let reply = nodes.call("POST", ECHO, &[("X-Road-Id", "evidence-1")], "a body to be signed").await;
    assert_eq!(reply.status, 200);
    nodes.consumer.stamp_now().await.unwrap();
    assert_eq!(nodes.consumer.commit_now().await, Ok(2));
    let work = tempfile::tempdir().unwrap();
    for side in ["requestOnly", "responseOnly"] {
        let target = format!(
            "/asic?unique&{side}&queryId=evidence-1&xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit"
        );
        let asic = nodes.send("GET", &target, &[], "").await;
        assert_eq!(asic.status, 200, "{:?}", asic.body);
        assert!(
            trust::asic::Container::read(&asic.body).unwrap().ledger_proof.is_some(),
            "the judges see the proof too"
        );
        std::fs::write(work.path().join(format!("{side}.asice")), &asic.body).unwrap();
    }
    judge.run(script, &["requestOnly.asice", "responseOnly.asice"], work.path()).await;
    nodes.stop().await;
}

/// What schemathesis may hold against an answer. What it takes for granted and X-Road's API does not say is left out: that every body that fits
/// the schema is accepted (a certificate must also be one), and that other methods of a path answer 405.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection,ignored_auth";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_no_answer_of_the_management_api_that_its_description_does_not_promise() {
    let Some(judge) = Judge::prepare("schemathesis.txt") else { return };
    let unlimited = |consumer: &mut NodeConfig, _: &mut NodeConfig| {
        let limits = ApiLimits { calls_per_second_max: 100_000, calls_per_minute_max: 100_000, ..ApiLimits::default() };
        consumer.limits.api = limits;
    };
    let nodes = two_nodes_with(908, unlimited).await;
    let key = nodes.api_key(&nodes.consumer, &Role::ALL).await;
    let description = format!("http://{}/api/v1/openapi.json", nodes.consumer.addresses().admin);
    let work = tempfile::tempdir().unwrap();
    let header = format!("Authorization: X-Road-ApiKey token={key}");
    for known in [true, false] {
        let mut arguments =
            vec!["run", &description, "--seed", "4", "--max-examples", "10", "--phases", "examples,coverage,fuzzing"];
        arguments.extend([
            "--checks",
            CHECKS,
            "--request-timeout",
            "30",
            "--no-color",
            "--workers",
            "2",
            "--generation-database",
            "none",
        ]);
        if known {
            arguments.extend(["--header", &header]);
        }
        let said = judge.run("call_with_schemathesis.py", &arguments, work.path()).await;
        assert!(said.contains(&format!("Tested: {}", operations_info().len())), "{said}");
        // A stranger gets the same answer everywhere.
        let everywhere = format!("{} operations returned only 401/403 responses", operations_info().len());
        assert_eq!(said.contains(&everywhere), !known, "{said}");
    }
    nodes.stop().await;
}

const PARCEL: &str = r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xro="http://x-road.eu/xsd/xroad.xsd" xmlns:iden="http://x-road.eu/xsd/identifiers"><soapenv:Header><xro:client iden:objectType="SUBSYSTEM"><iden:xRoadInstance>BB</iden:xRoadInstance><iden:memberClass>COM</iden:memberClass><iden:memberCode>2001</iden:memberCode><iden:subsystemCode>credit</iden:subsystemCode></xro:client><xro:service iden:objectType="SERVICE"><iden:xRoadInstance>BB</iden:xRoadInstance><iden:memberClass>GOV</iden:memberClass><iden:memberCode>1002</iden:memberCode><iden:subsystemCode>fisc</iden:subsystemCode><iden:serviceCode>CODE</iden:serviceCode></xro:service><xro:id>ID</xro:id><xro:protocolVersion>4.0</xro:protocolVersion></soapenv:Header><soapenv:Body>BODY</soapenv:Body></soapenv:Envelope>"#;

fn parcel(code: &str, id: &str, body: &str) -> String {
    PARCEL.replace("CODE", code).replace("ID", id).replace("BODY", body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_written_with_fastapi_xroad_soap_answers_behind_our_node() {
    let Some(judge) = Judge::prepare("provider.txt") else { return };
    let work = tempfile::tempdir().unwrap();
    let mut command = judge.script("provide_with_fastapi.py", &["port"], work.path());
    let _running = Running(command.stdin(Stdio::null()).spawn().unwrap());
    let port = port_in(&work.path().join("port")).await;
    let nodes = two_nodes(905).await;
    let url = format!("http://127.0.0.1:{port}/service");
    offer_soap(&nodes, &url, &[("getParcel", None), ("putFile", None)], "<wsdl/>").await;
    let xml = [("content-type", "text/xml; charset=UTF-8"), ("SOAPAction", "\"getParcel\"")];
    let asked = parcel("getParcel", "f-1", "<getParcel><Number>7</Number></getParcel>");
    let reply = nodes.send("POST", "/", &xml, asked).await;
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!(reply.status, 200, "{text}");
    assert!(text.contains("<getParcelResponse><Number>8</Number><Asker>credit</Asker></getParcelResponse>"), "{text}");
    assert!(text.contains("requestHash"), "{text}");
    // A file there and another back.
    let soap = parcel("putFile", "f-2", "<putFile><File>cid:file-1</File></putFile>");
    let message = format!(
        "--b1\r\nContent-Type: text/xml; charset=UTF-8\r\n\r\n{soap}\r\n--b1\r\nContent-Type: text/plain\r\nContent-ID: <file-1>\r\n\
         Content-Disposition: attachment; name=\"a.txt\"; filename=\"a.txt\"\r\n\r\nabc\r\n--b1--\r\n"
    );
    let related =
        [("content-type", "multipart/related; type=\"text/xml\"; boundary=b1"), ("SOAPAction", "\"putFile\"")];
    let reply = nodes.send("POST", "/", &related, message).await;
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!(reply.status, 200, "{text}");
    assert!(text.contains("<Size>3</Size>") && text.contains("Y2Jh"), "{text}");
    // It refuses with status 400, which X-Road takes from no service (only 200 and 500): its own words are lost there too.
    let unknown = [("content-type", "text/xml"), ("SOAPAction", "\"other\"")];
    let asked = parcel("getParcel", "f-3", "<getParcel><Number>7</Number></getParcel>");
    let reply = nodes.send("POST", "/", &unknown, asked).await;
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!(reply.status, 500, "{text}");
    assert!(text.contains("<faultcode>server.serverproxy.service_failed.http_error</faultcode>"), "{text}");
    assert_eq!(nodes.consumer.message_log().count("f-2").await.unwrap().len(), 2);
    nodes.stop().await;
}

/// The port that a service wrote into a file once it listened.
async fn port_in(file: &Path) -> u16 {
    for _ in 0..600 {
        if let Ok(text) = std::fs::read_to_string(file)
            && text.ends_with('\n')
        {
            return text.trim().parse().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    unreachable!("the service did not start")
}

import TestSupport
import Testing

/// Which layer a value came from is seen in the message about it: each layer is given a value of its own that is wrong.
@Suite("Layers of the running program")
struct LayeringTests {
    @Test("The command line wins over the environment, the environment over the file")
    func precedence() throws {
        try withTemporaryDirectory { folder in
            let path = "\(folder)/site.yaml"
            try writeFile(path, Array("read: none\nto: null\nmemory: bad-f\nbatch-packets: bad-p\n".utf8))
            let variable = ["SPILLWAY_MEMORY": "bad-e"]
            let file = try spillway(["run", "--config", path])
            expect(file, exits: 64, naming: ["\(path): memory: bad-f"])
            let environment = try spillway(["run", "--config", path], environment: variable)
            expect(environment, exits: 64, naming: ["SPILLWAY_MEMORY=bad-e"])
            let commandLine = try spillway(["run", "--config", path, "--memory", "bad-c"], environment: variable)
            expect(commandLine, exits: 64, naming: ["--memory bad-c"])
            // A good value on top hides both; the next wrong option of the file is then found.
            let hidden = try spillway(["run", "--config", path, "--memory", "64M"], environment: variable)
            expect(hidden, exits: 64, naming: ["\(path): batch-packets: bad-p"])
        }
    }

    @Test("The file can be named in the environment, and the command line names another")
    func configVariable() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/e.yaml", Array("bad-key-e: 1".utf8))
            try writeFile("\(folder)/c.yaml", Array("bad-key-c: 1".utf8))
            let environment = ["SPILLWAY_CONFIG": "\(folder)/e.yaml"]
            expect(try spillway(["run"], environment: environment), exits: 64, naming: ["bad-key-e"])
            let both = try spillway(["run", "--config", "\(folder)/c.yaml"], environment: environment)
            expect(both, exits: 64, naming: ["bad-key-c"])
        }
    }

    @Test("Several values stand in a list of the file and between blanks of a variable")
    func severalValues() throws {
        try withTemporaryDirectory { folder in
            let path = "\(folder)/site.yaml"
            try writeFile(path, Array("read: none\nto: [\"h:1,name=a\", \"h:2,name=b\", bad-third]\n".utf8))
            let file = try spillway(["run", "--config", path])
            expect(file, exits: 64, naming: ["\(path): to: bad-third"])
            let environment = try spillway(
                ["run", "--config", path], environment: ["SPILLWAY_TO": "h:1,name=a  bad-second\th:3"])
            expect(environment, exits: 64, naming: ["SPILLWAY_TO=bad-second"])
        }
    }
}

<#
.SYNOPSIS
    Enrols many machines from one console, over PowerShell remoting, and writes down how each of them stands.
.DESCRIPTION
    Copies the folder of this script (ptc-enroll.exe, the package's folder "config", enroll.cmd, answers.toml) to each
    machine and runs enroll.cmd there. Run it again until every machine says 0: each run does what can be done now.
    Works with Windows PowerShell 4.0 (Windows Server 2012 R2) and later; the machines need WinRM.
.PARAMETER Computers
    A text file with one computer name a line.
.PARAMETER Report
    The CSV file to write: computer, exit code, meaning, last line of output.
.EXAMPLE
    .\enroll-many.ps1 -Computers computers.txt -Report report.csv
#>
param(
    [Parameter(Mandatory = $true)] [string] $Computers,
    [string] $Report = 'report.csv',
    [string] $Folder = 'C:\Program Files\PTC Enroll'
)

$meaning = @{
    0 = 'enrolled'; 1 = 'unexpected'; 2 = 'usage'; 3 = 'configuration or input'; 4 = 'refused'
    5 = 'waits for the approval'; 6 = 'network or service'; 7 = 'TLS trust'; 8 = 'store or rights'
}
$files = 'ptc-enroll.exe', 'config', 'enroll.cmd', 'answers.toml'

$results = foreach ($computer in Get-Content $Computers | Where-Object { $_.Trim() }) {
    $computer = $computer.Trim()
    try {
        $share = "\\$computer\" + $Folder.Replace(':', '$')
        New-Item -ItemType Directory -Force -Path $share -ErrorAction Stop | Out-Null
        # The package holds the enrollment secret: for the system and administrators alone.
        icacls $share /inheritance:r /grant:r '*S-1-5-18:(OI)(CI)F' '*S-1-5-32-544:(OI)(CI)F' | Out-Null
        if ($LASTEXITCODE -ne 0) { throw "the rights of $share cannot be set" }
        foreach ($file in $files) {
            Copy-Item -Recurse -Force -ErrorAction Stop (Join-Path $PSScriptRoot $file) $share
        }
        $run = Invoke-Command -ComputerName $computer -ErrorAction Stop -ArgumentList $Folder -ScriptBlock {
            param($folder)
            $lines = & (Join-Path $folder 'enroll.cmd') 2>&1 | Where-Object { "$_".Trim() }
            [pscustomobject] @{ Code = $LASTEXITCODE; Line = "$($lines | Select-Object -Last 1)" }
        }
        $code = $run.Code; $line = $run.Line
        # What ptc-enroll never ends with is a crash of it, or of what should have started it.
        if ($null -eq $code -or $code -lt 0 -or $code -gt 8) { $code = 1 }
    }
    catch {
        # The machine is off, or does not let us in: worth another run, like a network that fails.
        $code = 6; $line = $_.Exception.Message
    }
    [pscustomobject] @{ Computer = $computer; Code = $code; Meaning = $meaning[[int] $code]; Output = $line }
}
$results | Export-Csv -NoTypeInformation -Encoding UTF8 $Report
$results | Group-Object Meaning | Sort-Object Count -Descending | Format-Table Count, Name -AutoSize
# The most serious of all, as fetch does it.
foreach ($code in 8, 7, 6, 4, 3, 2, 1, 5) { if ($results.Code -contains $code) { exit $code } }
exit 0
